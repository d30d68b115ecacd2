#include <qwen3vl/fusion/fusion.hpp>
#include <qwen3vl/reference/bilinear.hpp>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace bilinear_test {

using D = models::Tiny;
constexpr fusion::CrossLayers plan{.every = 2, .first = 1};
constexpr std::int64_t rank = 7;
template <class Fusion>
using With = Model<D, Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, weights::Float32>>>,
                               Choice<slot::fusion, Fusion>>>;
using Products = fusion::Bilinear<Rank{rank}, fusion::TensorRank::cp, plan>;
using WithCore = fusion::Bilinear<Rank{rank}, fusion::TensorRank::tucker, plan>;

/// Random weights, without outputs of the fusion if so wanted.
class Source : public testing::SyntheticSource {
  public:
    explicit Source(bool adds) : adds_(adds) {}
    TensorView take(const std::string& name, const Shape& shape) {
        TensorView view = testing::SyntheticSource::take(name, shape);
        if (adds_ || !name.starts_with("fusion.bilinear.") || !name.ends_with("out.weight")) return view;
        view.data = reinterpret_cast<const std::byte*>(
            zeros_.emplace_back(static_cast<std::size_t>(view.elements()), 0.0f).data());
        return view;
    }

  private:
    bool adds_;
    std::deque<std::vector<float>> zeros_;
};
template <class Fusion>
With<Fusion> model_of(bool adds = true) {
    auto source = std::make_shared<Source>(adds);
    return With<Fusion>(*source, source, nullptr, LoadOptions{.threads = 1});
}
template <class M>
Prompt prompt_of(Session<M>& session) {
    return picture_prompt<D>(session, {{1, 4, 6}, {1, 8, 4}});
}
template <class M>
std::vector<float> run(const M& model, int chunk = 100) {
    Session<M> session(model, {.context = 200, .chunk = chunk, .threads = 2});
    session.append(prompt_of(session));
    session.append(7);
    return logits_of(session);
}

/// Keeps the stream before and after layer 3's fusion.
template <class Fusion>
struct Watched : Fusion {
    static inline std::vector<float> before, after;
    template <class Weights, class Pass>
    static void before_layer(const Pass& pass, int layer) {
        const auto keep = [&](std::vector<float>& to) {
            if (layer == 3) to.insert(to.end(), pass.x.data, pass.x.data + pass.x.rows * pass.x.cols);
        };
        keep(before);
        Fusion::template before_layer<Weights>(pass, layer);
        keep(after);
    }
};

TEMPLATE_TEST_CASE("tensor fusion equals its oracle", "", Products, WithCore) {
    using Seen = Watched<TestType>;
    const auto model = model_of<Seen>();
    Session<With<Seen>> session(model, {.context = 200, .chunk = 9, .threads = 2});
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    session.append(7);

    Source source(true);
    const auto taken = [&](const std::string& name, const Shape& shape) {
        const auto view = source.take("fusion.bilinear.3." + name, shape);
        const auto* values = reinterpret_cast<const float*>(view.data);
        return testing::as_rows({values, values + view.elements()},
                                static_cast<std::size_t>(view.elements() / (shape.size() > 1 ? shape[0] : 1)));
    };
    const std::int64_t hidden = D::text.hidden;
    reference::BilinearWeights w{.norm = taken("norm.weight", {hidden}).values,
                                 .text_bias = taken("text.bias", {rank}).values,
                                 .visual_bias = taken("visual.bias", {rank}).values,
                                 .text = taken("text.weight", {rank, hidden}),
                                 .visual = taken("visual.weight", {rank, hidden}),
                                 .out = taken("out.weight", {hidden, rank}),
                                 .core = reference::Rows(0, 0)};
    if (std::is_same_v<TestType, WithCore>) w.core = taken("core.weight", {rank, rank, rank});
    const auto width = static_cast<std::size_t>(hidden);
    double worst = 0, most = 0;
    for (std::int64_t t = 0; t < session.length(); ++t) {
        std::vector<double> pooled(width), x(width);
        double seen = 0;
        const auto pictures = session.sequence().tokens().pictures();
        for (std::size_t i = 0; i < pictures.size(); ++i) {
            if (pictures[i].end() > t) continue;
            ++seen;
            for (std::size_t c = 0; c < width; ++c) {
                double mean = 0;
                for (std::int64_t r = 0; r < pictures[i].features; ++r)
                    mean += static_cast<double>(prompt.visuals[i]->embedding_row(r)[c]) /
                            static_cast<double>(pictures[i].features);
                pooled[c] += mean;
            }
        }
        for (double& v : pooled) v /= std::max(seen, 1.0);
        const std::size_t at = static_cast<std::size_t>(t) * width;
        for (std::size_t c = 0; c < width; ++c) x[c] = Seen::before[at + c];
        const auto added = reference::bilinear(x, pooled, w, D::text.norm_eps);
        for (std::size_t c = 0; c < width; ++c) {
            const double expected = x[c] + (seen > 0 ? added[c] : 0.0);
            worst = std::max(worst, std::abs(expected - static_cast<double>(Seen::after[at + c])));
            most = std::max(most, std::abs(expected - x[c]));
        }
    }
    CHECK(worst < 2e-5);
    CHECK(most > 0.1);
}

TEMPLATE_TEST_CASE("tensor fusion without outputs is stock, and has the same bits for any chunk", "", Products,
                   WithCore, fusion::Gated<Products>) {
    const auto stock = run(model_of<fusion::DeepStack>());
    if (!std::is_same_v<TestType, fusion::Gated<Products>>)
        CHECK(testing::same_bits(run(model_of<TestType>(false)), stock));
    const auto model = model_of<TestType>();
    const auto joined = run(model);
    CHECK(!testing::same_bits(joined, stock));
    for (const int chunk : {1, 6}) CHECK(testing::same_bits(run(model, chunk), joined));
}

TEST_CASE("what tensor fusion keeps of pictures is rewound, saved and restored") {
    const auto model = model_of<WithCore>();
    Session<With<WithCore>> session(model, {.context = 200, .threads = 1}),
        other(model, {.context = 150, .threads = 1});
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    const auto length = session.length();
    session.append(7);
    const auto expected = logits_of(session);
    session.append(prompt);
    session.rewind(length);
    const TemporaryFolder folder;
    session.save(folder.file("state"));
    session.append(7);
    CHECK(testing::same_bits(logits_of(session), expected));
    other.append(Prompt{words(3)});
    other.restore(folder.file("state"));
    other.append(7);
    CHECK(testing::same_bits(logits_of(other), expected));
}

}  // namespace bilinear_test
