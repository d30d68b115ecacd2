#include <qwen3vl/fusion/fusion.hpp>
#include "prompts.hpp"

using namespace qwen3vl_test;

namespace gated_test {

using D = models::Tiny;
template <class Fusion>
using With = Model<D, Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, weights::Float32>>>,
                               Choice<slot::fusion, Fusion>>>;
constexpr fusion::CrossLayers plan{.every = 2, .first = 1};
using Crossing = fusion::CrossAttention<fusion::pictures::Inside<>, plan>;
using Outside = fusion::CrossAttention<fusion::pictures::Outside<>, plan>;

/// Random weights; those of the row gates are scaled.
class Source : public testing::SyntheticSource {
  public:
    explicit Source(float scale) : scale_(scale) {}
    TensorView take(const std::string& name, const Shape& shape) {
        TensorView view = testing::SyntheticSource::take(name, shape);
        if (!name.starts_with("fusion.gates.")) return view;
        auto& values = memory_.emplace_back(static_cast<std::size_t>(view.elements()));
        const auto* random = reinterpret_cast<const float*>(view.data);
        const float middle = name.ends_with("weight") ? 1.0f : 0.0f;  // the source puts weights around 1
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = scale_ * (random[i] - middle);
        view.data = reinterpret_cast<const std::byte*>(values.data());
        return view;
    }

  private:
    float scale_;
    std::deque<std::vector<float>> memory_;
};
template <class Fusion>
With<Fusion> model_of(float scale) {
    auto source = std::make_shared<Source>(scale);
    return With<Fusion>(*source, source, nullptr, LoadOptions{.threads = 1});
}
template <class M>
std::vector<float> run(const M& model, int chunk = 100) {
    Session<M> session(model, {.context = 200, .chunk = chunk, .threads = 2});
    session.append(picture_prompt<D>(session, {{1, 4, 6}, {1, 8, 4}}));
    session.append(7);
    return logits_of(session);
}

TEMPLATE_TEST_CASE("gates of zeros have the bits of what they gate, and others the same for any chunk", "",
                   fusion::DeepStack, Crossing, Outside) {
    const auto expected = run(model_of<TestType>(0));
    CHECK(testing::same_bits(run(model_of<fusion::Gated<TestType>>(0)), expected));
    const auto open = model_of<fusion::Gated<TestType>>(2);
    const auto gated = run(open);
    CHECK(!testing::same_bits(gated, expected));
    for (const int chunk : {1, 7}) CHECK(testing::same_bits(run(open, chunk), gated));
}

/// Keeps the stream of visual tokens before and after DeepStack's first level, gated.
struct Watched : fusion::Gated<fusion::DeepStack> {
    static inline std::vector<float> before, after, level;
    template <class Weights, class Pass>
    static void after_layer(const Pass& pass, int layer) {
        const auto keep = [&](std::vector<float>& to) {
            if (layer == 1)
                pass.for_each_picture([&](const VisualFeatures& f, std::int64_t first, Matrix x) {
                    for (std::int64_t r = 0; r < x.rows; ++r) {
                        to.insert(to.end(), x.row(r), x.row(r) + x.cols);
                        if (&to != &before) continue;
                        const float* row = f.deepstack_row(1, first + r);
                        level.insert(level.end(), row, row + x.cols);
                    }
                });
        };
        keep(before);
        Gated::after_layer<Weights>(pass, layer);
        keep(after);
    }
};

TEST_CASE("a gated level is the level times two sigmoids of the row") {
    REQUIRE(D::vision.deepstack_count > 1);
    for (auto* rows : {&Watched::before, &Watched::after, &Watched::level}) rows->clear();
    run(model_of<Watched>(2), 9);
    Source source(2);
    const auto values = [&](const char* name, std::int64_t n) {
        const auto view = source.take(name, {n});
        const auto* v = reinterpret_cast<const float*>(view.data);
        return std::vector<double>(v, v + n);
    };
    const auto weight = values("fusion.gates.after.1.weight", D::text.hidden),
               bias = values("fusion.gates.after.1.bias", 1);
    const std::size_t n = weight.size();
    REQUIRE(Watched::before.size() == 14 * n);
    double worst = 0, least = 2, most = 0;
    for (std::size_t at = 0; at < Watched::before.size(); at += n) {
        double dot = bias[0];
        for (std::size_t c = 0; c < n; ++c) dot += weight[c] * Watched::before[at + c];
        const double gate = 2 / (1 + std::exp(-dot));
        least = std::min(least, gate);
        most = std::max(most, gate);
        for (std::size_t c = at; c < at + n; ++c)
            worst = std::max(worst, std::abs(Watched::before[c] + gate * Watched::level[c] - Watched::after[c]));
    }
    CHECK(worst < 1e-5);
    CHECK((least < 0.9 && most > 1.1));
}

TEST_CASE("there is a gate for each place where something is added") {
    const auto gates = []<class M>(type_tag<M>) {
        std::vector<std::string> names;
        for (const auto& p : M::manifest().parameters)
            if (p.name.starts_with("fusion.gates.") && p.name.ends_with("weight")) names.push_back(p.name.substr(13));
        return names;
    };
    const std::vector<std::string> deepstack = gates(type_tag<With<fusion::Gated<fusion::DeepStack>>>{});
    CHECK(std::ssize(deepstack) == 1 + D::vision.deepstack_count);
    CHECK(gates(type_tag<With<fusion::Gated<Outside>>>{}).size() ==
          static_cast<std::size_t>(plan.count(D::text.layers)));
    CHECK(gates(type_tag<With<fusion::Gated<Crossing>>>{}).size() ==
          deepstack.size() + static_cast<std::size_t>(plan.count(D::text.layers)));
}

}  // namespace gated_test
