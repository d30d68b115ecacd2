#include <numeric>
#include <qwen3vl/testing/type_list.hpp>
#include "prompts.hpp"

using namespace qwen3vl_test;

namespace bundles_test {

using D = models::Tiny;
constexpr auto seed = 3;

template <class M>
Prompt bundle_prompt(const M& model, std::size_t words_before = 5) {
    Session<M> session(model, {.context = 1, .threads = 1});
    return picture_prompt<D>(session, {{1, 4, 6}}, words_before);
}

/// Float32 values of one parameter, every other column of them scaled in part: what a model does with a parameter shows
/// when it is touched.
struct TouchedSource : testing::SyntheticSource {
    std::string name;
    std::int64_t first_row = 0, rows = 0, first_col = 0, cols = 0;  ///< 0 rows or columns: all of them

    explicit TouchedSource(std::string n) : SyntheticSource(seed), name(std::move(n)) {}
    TensorView take(const std::string& n, const Shape& shape) {
        const TensorView view = SyntheticSource::take(n, shape);
        if (n != name) return view;
        auto* values = reinterpret_cast<float*>(const_cast<std::byte*>(view.data));
        const std::int64_t width = view.elements() / shape[0];
        for (std::int64_t i = 0; i < view.elements(); ++i) {
            const std::int64_t r = i / width, c = i % width;
            if ((rows == 0 || (r >= first_row && r < first_row + rows)) &&
                (cols == 0 || (c >= first_col && c < first_col + cols)) && i % 2 == 0)
                values[i] *= 1.5f;
        }
        return view;
    }
};

/// Error of a product relative to its result's deviation: uniform weights and normal activations, half a step of each
/// divided by sqrt(3). A 4-bit step is a seventh of the largest weight and more.
template <class Format>
constexpr double roundoff = testing::bf16_roundoff;
template <Group G>
constexpr double roundoff<weights::Int8<G>> = 0.01;
template <Group G, weights::ZeroPoint C>
constexpr double roundoff<weights::Int4<G, C>> = 0.1;
template <weights::Scales S>
constexpr double roundoff<weights::NF4<S>> = 0.1;

template <class M>
std::vector<float> logits_from(TouchedSource& source) {
    const M model(source, nullptr, nullptr, {.threads = 1});
    return run(model, bundle_prompt(model));
}

TEMPLATE_LIST_TEST_CASE("a bundle stays near float32, and equals itself for any chunk", "",
                        testing::tuple_t<TestedBundles>) {
    using Bundle = typename TestType::type;
    using M = Model<D, Bundle>;
    const auto exact_model = testing::synthetic_model<Model<D, bundles::float32>>(seed);
    const auto exact = run(exact_model, bundle_prompt(exact_model));
    const auto model = testing::synthetic_model<M>(seed);
    const auto prompt = bundle_prompt(model);
    const auto found = run(model, prompt);
    // Weights, activations and cache entries are off by at most a roundoff each, at random, and so is each product of
    // seven matrices in four layers and of the head, relative to its result; the squares add. The largest of 464 logits
    // is about three deviations large, and so is the largest of 464 errors.
    const double tolerance = roundoff<typename Bundle::Text::Weights> *
                             std::sqrt(7.0 * D::text.layers + 7.0 * D::vision.depth + 1) *
                             testing::largest_magnitude(exact);
    const double difference = testing::largest_difference(found, exact);
    CAPTURE(Bundle::name, difference, tolerance);
    CHECK(difference <= tolerance);
    const bool lossless = std::is_same_v<typename Bundle::Text::Weights, weights::Float32>;
    if (!lossless) CHECK(difference > 1e-5 * testing::largest_magnitude(exact));
    for (int chunk : {1, 7}) CHECK(testing::same_bits(run(model, prompt, chunk), found));
    CHECK(testing::same_bits(run(model, prompt, 512, 3), found));
}

static_assert(std::is_same_v<Model<D>, Model<D, bundles::bf16>> &&
              std::is_same_v<Session<Model<D>>, Session<Model<D, bundles::bf16>>>);

TEST_CASE("the window bundle is the bf16 bundle as long as nothing falls out of the window") {
    using Window = Model<D, bundles::window>;
    using Bf16 = Model<D, bundles::bf16>;
    const auto window = testing::synthetic_model<Window>(seed);
    const auto whole = testing::synthetic_model<Bf16>(seed);
    const auto within = bundle_prompt(whole, 900), beyond = bundle_prompt(whole, 1100);
    CHECK(testing::same_bits(run(window, within), run(whole, within)));
    CHECK_FALSE(testing::same_bits(run(window, beyond), run(whole, beyond)));
    CHECK(testing::same_bits(run(window, beyond, 100), run(window, beyond)));
}

TEMPLATE_LIST_TEST_CASE("preserves_capacity is the truth: every layer runs", "", testing::tuple_t<TestedBundles>) {
    using M = Model<D, typename TestType::type>;
    const auto model = testing::synthetic_model<M>(seed);
    Session<M> session(model, {.context = 40, .threads = 1});
    std::vector<int> layers, blocks, expected_layers(static_cast<std::size_t>(D::text.layers)),
        expected_blocks(static_cast<std::size_t>(D::vision.depth));
    std::iota(expected_layers.begin(), expected_layers.end(), 0);
    std::iota(expected_blocks.begin(), expected_blocks.end(), 0);
    const TensorHook hook = [&](std::string_view name, int index, ConstMatrix) {
        if (name == "text.layer") layers.push_back(index);
        if (name == "vision.block") blocks.push_back(index);
    };
    Prompt prompt;
    add_visual<D>(prompt, encode(session.workspace(), testing::synthetic_patches(D::vision, {1, 4, 4}), {}, hook));
    session.append(prompt, {.hook = hook});
    CHECK(M::preserves_capacity);
    CHECK(layers == expected_layers);
    CHECK(blocks == expected_blocks);
}

TEMPLATE_LIST_TEST_CASE("preserves_capacity is the truth: every parameter takes part", "",
                        testing::tuple_t<TestedBundles>) {
    using M = Model<D, typename TestType::type>;
    TouchedSource plain("");
    const auto before = logits_from<M>(plain);
    bool all = true;
    for_each_parameter<D, typename TestType::type>([&](const std::string& name, const Shape&) {
        TouchedSource touched(name);
        const bool matters = !testing::same_bits(logits_from<M>(touched), before);
        if (!matters) UNSCOPED_INFO(name);
        all = all && matters;
    });
    CHECK(all == M::preserves_capacity);
}

TEMPLATE_LIST_TEST_CASE("preserves_capacity is the truth: every head takes part", "", testing::tuple_t<TestedBundles>) {
    using M = Model<D, typename TestType::type>;
    TouchedSource plain("");
    const auto before = logits_from<M>(plain);
    bool all = true;
    const auto touch = [&](const std::string& name, int layers, int heads, int head_dim, bool columns) {
        for (int layer = 0; layer < layers; ++layer)
            for (int head = 0; head < heads; ++head) {
                TouchedSource touched("model." + std::string(name).replace(name.find('#'), 1, std::to_string(layer)));
                (columns ? touched.first_col : touched.first_row) = std::int64_t{head} * head_dim;
                (columns ? touched.cols : touched.rows) = head_dim;
                const bool matters = !testing::same_bits(logits_from<M>(touched), before);
                if (!matters) UNSCOPED_INFO(touched.name << " head " << head);
                all = all && matters;
            }
    };
    touch("language_model.layers.#.self_attn.o_proj.weight", D::text.layers, D::text.heads, D::text.head_dim, true);
    touch("language_model.layers.#.self_attn.k_proj.weight", D::text.layers, D::text.kv_heads, D::text.head_dim, false);
    touch("visual.blocks.#.attn.proj.weight", D::vision.depth, D::vision.heads, D::vision.head_dim(), true);
    CHECK(all == M::preserves_capacity);
}

}  // namespace bundles_test
