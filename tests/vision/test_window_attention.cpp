#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/reference/activation.hpp>
#include <qwen3vl/reference/attention.hpp>
#include <qwen3vl/reference/norm.hpp>
#include <qwen3vl/reference/position.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/golden.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/testing/sources.hpp>
#include "catch.hpp"

using namespace qwen3vl;

namespace window_attention_test {

using D = models::Tiny;
constexpr VisionDims d = D::vision;
constexpr auto hidden = static_cast<std::size_t>(d.hidden);

template <class Attention>
using Tower =
    Model<D,
          bundles::float32::with_vision<VisionPolicies<>::with_weights<weights::Float32>::with_attention<Attention>>>;
constexpr PatchWindow square{.rows = 4, .cols = 4}, wide{.rows = 4, .cols = 6};
/// Windows of both shapes and full attention in turn.
using Mixed = Tower<Layers<Pattern<attention::Flash<mask::GridWindow<square>>, attention::Flash<mask::GridWindow<wide>>,
                                   attention::Flash<mask::Full>>>>;
/// The window of each block; none where all is seen.
constexpr std::optional<PatchWindow> windows[] = {square, wide, {}, square};

/// Rows and columns of a grid's patches, in the tower's order.
std::vector<std::array<int, 2>> coordinates(const Grid& grid) {
    std::vector<std::array<int, 2>> all;
    for (int t = 0; t < grid.t; ++t)
        vision::for_each_patch(grid.h, grid.w, d.merge, [&](std::int64_t, int row, int col) {
            all.push_back({row, col});
        });
    return all;
}

/// One block in double (`Qwen3VLVisionBlock.forward`): x [patches, hidden] becomes what leaves it.
class BlockOracle {
  public:
    explicit BlockOracle(int index)
        : at_("model.visual.blocks." + std::to_string(index) + "."), window_(windows[index]) {}

    reference::Rows operator()(reference::Rows x, const Grid& grid) {
        const auto at = coordinates(grid);
        const auto span = at.size() / static_cast<std::size_t>(grid.t);
        const auto sees = [&](std::size_t q, std::size_t k) {
            if (q / span != k / span) return false;
            return !window_ || (at[q][0] / window_->rows == at[k][0] / window_->rows &&
                                at[q][1] / window_->cols == at[k][1] / window_->cols);
        };
        const auto qkv = dense("attn.qkv", 3 * d.hidden, normed("norm1", x));
        reference::Rows q(x.rows, hidden), k = q, v = q;
        const auto head_dim = static_cast<std::size_t>(d.head_dim());
        for (std::size_t i = 0; i < x.rows; ++i) {
            const auto angles = reference::axial_angles(d, at[i][0], at[i][1]);
            for (std::size_t h = 0; h < hidden; h += head_dim) {
                const auto head = [&](std::size_t from) {
                    const auto begin = qkv.values.begin() + static_cast<std::ptrdiff_t>(i * 3 * hidden + from + h);
                    return std::vector<double>(begin, begin + d.head_dim());
                };
                const auto turned_q = reference::rotate(head(0), angles),
                           turned_k = reference::rotate(head(hidden), angles), plain = head(2 * hidden);
                for (std::size_t c = 0; c < head_dim; ++c)
                    q.at(i, h + c) = turned_q[c], k.at(i, h + c) = turned_k[c], v.at(i, h + c) = plain[c];
            }
        }
        add(x, dense("attn.proj", d.hidden, reference::attention(q, k, v, head_dim, 1, 0, sees)));
        auto inner = dense("mlp.linear_fc1", d.ffn, normed("norm2", x));
        for (double& y : inner.values) y = reference::gelu_tanh(y);
        add(x, dense("mlp.linear_fc2", d.hidden, inner));
        return x;
    }

  private:
    std::vector<float> take(const std::string& name, const Shape& shape) {
        const TensorView view = source_.take(at_ + name, shape);
        std::vector<float> v(static_cast<std::size_t>(view.elements()));
        std::memcpy(v.data(), view.data, view.bytes());
        return v;
    }
    reference::Rows normed(const std::string& name, const reference::Rows& x) {
        const auto weight = testing::as_doubles(take(name + ".weight", {d.hidden})),
                   bias = testing::as_doubles(take(name + ".bias", {d.hidden}));
        reference::Rows y = x;
        for (std::size_t i = 0; i < x.rows; ++i) {
            const auto row = x.values.begin() + static_cast<std::ptrdiff_t>(i * hidden);
            const auto out = reference::layer_norm({row, row + d.hidden}, weight, bias, d.norm_eps);
            std::copy(out.begin(), out.end(), y.values.begin() + static_cast<std::ptrdiff_t>(i * hidden));
        }
        return y;
    }
    reference::Rows dense(const std::string& name, std::int64_t out, const reference::Rows& x) {
        const auto weight = take(name + ".weight", {out, static_cast<std::int64_t>(x.cols)}),
                   bias = take(name + ".bias", {out});
        auto y = reference::matmul(x, testing::as_rows(weight, x.cols));
        for (std::size_t i = 0; i < y.rows; ++i)
            for (std::size_t c = 0; c < y.cols; ++c) y.at(i, c) += static_cast<double>(bias[c]);
        return y;
    }
    static void add(reference::Rows& x, const reference::Rows& y) {
        for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] += y.values[i];
    }

    testing::SyntheticSource source_;
    std::string at_;
    std::optional<PatchWindow> window_;
};

void check_same(const VisualFeatures& a, const VisualFeatures& b) {
    CHECK(testing::same_bits(a.embedding, b.embedding));
    REQUIRE(a.deepstack.size() == b.deepstack.size());
    for (std::size_t level = 0; level < a.deepstack.size(); ++level)
        CHECK(testing::same_bits(a.deepstack[level], b.deepstack[level]));
}

TEST_CASE("blocks with windows and without are what their oracle says") {
    const auto model = testing::synthetic_model<Mixed>();
    Session<Mixed> session(model, {.context = 16, .threads = 2});
    for (const Grid grid : {Grid{1, 2, 2}, Grid{1, 4, 4}, Grid{1, 6, 10}, Grid{1, 14, 8}, Grid{3, 6, 14}}) {
        std::vector<reference::Rows> streams;  // behind each block
        encode(session.workspace(), testing::synthetic_patches(d, grid), {},
               [&](std::string_view name, int, ConstMatrix x) {
                   if (name == "vision.block")
                       streams.push_back(testing::as_rows({x.data, static_cast<std::size_t>(x.rows * x.cols)}, hidden));
               });
        REQUIRE(streams.size() == static_cast<std::size_t>(d.depth));
        for (std::size_t i = 1; i < streams.size(); ++i) {
            CAPTURE(grid.t, grid.h, grid.w, i);
            const auto expected = BlockOracle(static_cast<int>(i))(streams[i - 1], grid).values;
            // float32's own, of one block: that of the golden data, which have all blocks behind each other
            CHECK(testing::largest_difference(streams[i].values, expected) <=
                  testing::golden_tolerance * testing::largest_magnitude(expected));
        }
    }
}

TEST_CASE(
    "a tower of windows gives the same bits on any number of threads, for frames one by one, and between other "
    "pictures") {
    const auto model = testing::synthetic_model<Mixed>();
    Session<Mixed> one(model, {.context = 16, .threads = 1}), three(model, {.context = 16, .threads = 3});
    for (const Grid grid : {Grid{1, 34, 32}, Grid{1, 6, 10}, Grid{2, 6, 14}}) {
        const auto patches = testing::synthetic_patches(d, grid);
        const auto whole = encode(one.workspace(), patches);
        check_same(*whole, *encode(three.workspace(), patches));
        const std::size_t frame = patches.values.size() / static_cast<std::size_t>(grid.t),
                          features = whole->embedding.size() / static_cast<std::size_t>(grid.t);
        for (std::size_t t = 0; t < static_cast<std::size_t>(grid.t); ++t) {
            const auto at = patches.values.begin() + static_cast<std::ptrdiff_t>(t * frame);
            const auto alone =
                encode(one.workspace(), {{1, grid.h, grid.w}, {at, at + static_cast<std::ptrdiff_t>(frame)}});
            CHECK(testing::same_bits(alone->embedding, {whole->embedding.data() + t * features, features}));
        }
        check_same(*whole, *encode(one.workspace(), patches));
    }
}

TEST_CASE("windows that hold every picture give the bits of full attention") {
    constexpr PatchWindow large{.rows = 36, .cols = 20};
    using Windowed = Tower<Layers<Pattern<attention::Flash<mask::GridWindow<large>>,
                                          attention::Flash<mask::GridWindow<large>>, attention::Flash<mask::Full>>>>;
    const auto windowed = testing::synthetic_model<Windowed>();
    const auto full = testing::synthetic_model<Tower<attention::Flash<mask::Full>>>();
    Session<Windowed> a(windowed, {.context = 16, .threads = 2});
    Session<Tower<attention::Flash<mask::Full>>> b(full, {.context = 16, .threads = 2});
    for (const Grid grid : {Grid{1, 2, 2}, Grid{1, 6, 10}, Grid{2, 36, 20}}) {
        const auto patches = testing::synthetic_patches(d, grid);
        check_same(*encode(a.workspace(), patches), *encode(b.workspace(), patches));
    }
}

}  // namespace window_attention_test
