#include <qwen3vl/fusion/cross_attention.hpp>
#include <qwen3vl/reference/cross_attention.hpp>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace cross_attention_test {

using D = models::Tiny;
constexpr fusion::CrossLayers plan{.every = 2, .first = 1};
template <class Fusion, class Text = TextPolicies<Choice<slot::weights, weights::Float32>,
                                                  Choice<slot::kv_cache, kv_cache::Contiguous<kv_cache::Float32>>>>
using With = Model<D, Policies<Choice<slot::text, Text>, Choice<slot::fusion, Fusion>>>;
using Exact = fusion::CrossAttention<fusion::pictures::Inside<>, plan, attention::Flash<mask::Full>, kv_cache::Float32>;
using M = With<Exact>;
using Stock = With<fusion::DeepStack>;

/// Random weights with gates of one value.
class Source : public testing::SyntheticSource {
  public:
    explicit Source(float gate) : gate_(gate) {}
    TensorView take(const std::string& name, const Shape& shape) {
        TensorView view = testing::SyntheticSource::take(name, shape);
        if (name.starts_with("fusion.") && name.ends_with("gate"))
            view.data = reinterpret_cast<const std::byte*>(&gate_);
        return view;
    }

  private:
    float gate_;
};
template <class Model>
Model model_of(float gate) {
    auto source = std::make_shared<Source>(gate);
    return Model(*source, source, nullptr, LoadOptions{.threads = 1});
}

template <class Model>
Prompt prompt_of(Session<Model>& session) {
    return picture_prompt<D>(session, {{1, 4, 6}, {1, 8, 4}});
}
template <class Model>
std::vector<float> run(const Model& model, const Prompt& prompt, int chunk, int threads = 2) {
    Session<Model> session(model, {.context = 200, .chunk = chunk, .threads = threads});
    session.append(prompt);
    return logits_of(session);
}

/// Keeps the stream before and after the cross-attention of layer 3.
struct Watched : Exact {
    static inline std::vector<float> before, after;
    template <class Weights, class Pass>
    static void before_layer(const Pass& pass, int layer) {
        const auto keep = [&](std::vector<float>& to) {
            if (layer == 3) to.insert(to.end(), pass.x.data, pass.x.data + pass.x.rows * pass.x.cols);
        };
        keep(before);
        Exact::before_layer<Weights>(pass, layer);
        keep(after);
    }
};

TEST_CASE("cross-attention equals its oracle") {
    using Model = With<Watched>;
    const auto model = model_of<Model>(0.7f);
    Session<Model> session(model, {.context = 200, .chunk = 9, .threads = 2});
    const Prompt prompt = prompt_of(session);
    Watched::before.clear();
    Watched::after.clear();
    session.append(prompt);
    session.append(7);

    Source source(0.7f);
    const auto taken = [&](const std::string& name, std::int64_t rows, std::int64_t cols) {
        const auto view = source.take("fusion.layers.3." + name, cols ? Shape{rows, cols} : Shape{rows});
        const auto* values = reinterpret_cast<const float*>(view.data);
        return testing::as_rows({values, values + view.elements()}, static_cast<std::size_t>(cols ? cols : rows));
    };
    constexpr TextDims d = D::text;
    const reference::CrossAttentionWeights w{
        .norm = taken("norm.weight", d.hidden, 0).values,
        .ffn_norm = taken("ffn_norm.weight", d.hidden, 0).values,
        .q_norm = taken("q_norm.weight", d.head_dim, 0).values,
        .k_norm = taken("k_norm.weight", d.head_dim, 0).values,
        .q = taken("q_proj.weight", d.q_dim(), d.hidden),
        .k = taken("k_proj.weight", d.kv_dim(), d.hidden),
        .v = taken("v_proj.weight", d.kv_dim(), d.hidden),
        .o = taken("o_proj.weight", d.hidden, d.q_dim()),
        .gate_proj = taken("mlp.gate_proj.weight", d.ffn, d.hidden),
        .up = taken("mlp.up_proj.weight", d.ffn, d.hidden),
        .down = taken("mlp.down_proj.weight", d.hidden, d.ffn),
        .gate = 0.7f,
        .ffn_gate = 0.7f,
    };
    std::vector<float> visual;
    for (const auto& v : prompt.visuals) visual.insert(visual.end(), v->embedding.begin(), v->embedding.end());
    std::vector<std::size_t> seen;
    for (std::int64_t t = 0; t < session.length(); ++t) {
        seen.push_back(0);
        for (const auto& p : session.sequence().tokens().pictures())
            if (p.end() <= t) seen.back() += static_cast<std::size_t>(p.features);
    }
    const auto hidden = static_cast<std::size_t>(d.hidden);
    const auto expected = reference::cross_attention(testing::as_rows(Watched::before, hidden),
                                                     testing::as_rows(visual, hidden), seen, w, d.norm_eps);
    REQUIRE(Watched::after.size() == expected.values.size());
    CHECK(testing::largest_difference(Watched::after, expected.values) < 2e-5);
    CHECK(testing::largest_difference(Watched::before, expected.values) > 0.1);
}

TEST_CASE("cross-attention has the same bits for any chunk, threads and rows beside it, and in decoding") {
    const auto model = model_of<M>(0.7f);
    Session<M> session(model, {.context = 200, .threads = 1});
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    const auto expected = logits_of(session);
    for (const int chunk : {1, 4, 9, 100}) CHECK(testing::same_bits(run(model, prompt, chunk, 3), expected));
    CHECK(!testing::same_bits(run(model_of<M>(0.5f), prompt, 100), expected));

    Prompt longer = prompt;
    longer << words(6, 3);
    for (const int token : words(6, 3)) session.append(token);
    CHECK(testing::same_bits(run(model, longer, 5), logits_of(session)));

    Workspace<M> workspace(model, {.context = 200, .rows = 80, .threads = 2});
    Sequence<M> a(model, {.context = 200}), b(model, {.context = 200}), c(model, {.context = 200});
    a.append(Prompt{words(7, 4)});
    b.append(longer);
    c.append(prompt);
    const Chunk<M> first[] = {{&a, a.pending(), 1}, {&b, 30, 0}, {&c, 20, 0}};
    workspace.forward(first);
    const Chunk<M> second[] = {{&c, c.pending(), 1}, {&b, b.pending(), 1}};
    workspace.forward(second);
    CHECK(testing::same_bits(b.logits(), logits_of(session)));
    CHECK(testing::same_bits(c.logits(), expected));
}

TEST_CASE("gates at zero, and text alone, have the stock model's bits") {
    const auto stock = model_of<Stock>(0);
    const auto model = model_of<M>(0), open = model_of<M>(1);
    Session<M> session(model, {.context = 200, .threads = 1});
    const Prompt prompt = prompt_of(session);
    CHECK(testing::same_bits(run(model, prompt, 100), run(stock, prompt, 100)));
    const Prompt text{words(20, 5)};
    CHECK(testing::same_bits(run(open, text, 100), run(stock, text, 100)));
    CHECK(!testing::same_bits(run(open, prompt, 100), run(stock, prompt, 100)));
}

TEST_CASE("keys of pictures are rewound, saved and restored") {
    const auto model = model_of<M>(0.7f);
    Session<M> session(model, {.context = 200, .threads = 1}), other(model, {.context = 150, .threads = 1});
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    const auto length = session.length();
    session.append(7);
    const auto expected = logits_of(session);
    session.append(prompt);  // two more pictures
    session.rewind(length);
    session.append(7);
    CHECK(testing::same_bits(logits_of(session), expected));

    const TemporaryFolder folder;
    session.rewind(length);
    session.save(folder.file("state"));
    other.append(Prompt{words(3)});
    other.restore(folder.file("state"));
    other.append(7);
    CHECK(testing::same_bits(logits_of(other), expected));

    // a file of another codec's keys
    using Halves =
        With<fusion::CrossAttention<fusion::pictures::Inside<>, plan, attention::Flash<mask::Full>, kv_cache::Bf16>>;
    const auto halves = model_of<Halves>(0.7f);
    Session<Halves> third(halves, {.context = 150, .threads = 1});
    CHECK_THROWS_AS(third.restore(folder.file("state")), LoadError);
}

TEST_CASE("keys of pictures are forked") {
    using Text = TextPolicies<Choice<slot::kv_cache, kv_cache::Paged<>>>;
    using Paged = With<fusion::CrossAttention<fusion::pictures::Inside<>, plan>, Text>;
    const auto model = model_of<Paged>(0.7f);
    PagePool<Paged> pool(model, {.tokens = 1024});
    Session<Paged> session(pool, {.context = 200, .threads = 1});
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    auto fork = session.fork();
    session.append(prompt);
    fork.append(7);
    session.rewind(static_cast<std::int64_t>(prompt.tokens.size()));
    session.append(7);
    CHECK(testing::same_bits(logits_of(fork), logits_of(session)));

    // a shorter sequence takes what the other still holds, not what it held before it was rewound
    Workspace<Paged> workspace(model, {.context = 200, .threads = 1});
    Sequence<Paged> shorter(pool, {.context = static_cast<int>(prompt.tokens.size()) + 1});
    session.append(prompt);
    session.append(prompt);
    session.rewind(static_cast<std::int64_t>(prompt.tokens.size()));
    shorter.share(session.sequence(), workspace.team());
    shorter.append(7);
    const Chunk<Paged> chunk[] = {{&shorter, 1, 1}};
    workspace.forward(chunk);
    CHECK(testing::same_bits(shorter.logits(), logits_of(fork)));
}

TEST_CASE("pictures outside of the sequence cost a token, and cross-attention alone brings them in") {
    using Fusion = fusion::CrossAttention<fusion::pictures::Outside<Tokens{40}>, plan>;
    using Outside = With<Fusion>;
    const auto model = model_of<Outside>(0.7f), closed = model_of<Outside>(0);
    Session<Outside> session(model, {.context = 120, .threads = 2}), other(closed, {.context = 60, .threads = 1});
    const Prompt prompt = prompt_of(session);  // of 6 and 8 visual tokens
    session.append(prompt);
    REQUIRE(prompt.tokens.size() == 5 + 2 * (3 + 3));
    CHECK(session.length() == std::ssize(prompt.tokens));
    CHECK(session.rope_delta() == 0);
    const auto expected = logits_of(session);
    for (const int chunk : {1, 6, 100}) CHECK(testing::same_bits(run(model, prompt, chunk), expected));

    // another picture, and where gates are closed none
    Prompt changed = prompt;
    changed.visuals[0] = encode(session.workspace(), testing::synthetic_patches(D::vision, {1, 4, 6}, 99));
    CHECK(!testing::same_bits(run(model, changed, 100), expected));
    CHECK(testing::same_bits(run(closed, changed, 100), run(closed, prompt, 100)));

    session.append(7);
    const auto length = session.length();
    const TemporaryFolder folder;
    session.save(folder.file("state"));
    session.append(9);
    const auto next = logits_of(session);
    Session<Outside> restored(model, {.context = 60, .threads = 1});
    restored.restore(folder.file("state"));
    CHECK(restored.length() == length);
    restored.append(9);
    CHECK(testing::same_bits(logits_of(restored), next));
    CHECK(restored.sequence().common_prefix(prompt).visuals == 2);

    // the capacity is a limit of its own
    session.append(prompt);  // 28 visual tokens
    CHECK_THROWS_WITH(session.append(prompt), Catch::Contains("keeps 40"));
    CHECK(session.length() == length + 1 + std::ssize(prompt.tokens));

    // features of a model that has them in the sequence
    const auto inside = model_of<M>(0);
    Session<M> stock(inside, {.context = 60, .threads = 1});
    CHECK_THROWS_WITH(session.append(prompt_of(stock)), Catch::Contains("another fusion policy"));
}

TEST_CASE("a plan may name no layer of a model, and layers beyond the last") {
    STATIC_REQUIRE(fusion::CrossLayers{.every = 4, .first = 0}.count(28) == 7);
    STATIC_REQUIRE(fusion::CrossLayers{.every = 4, .first = 3}.count(28) == 7);
    STATIC_REQUIRE(fusion::CrossLayers{.every = 5, .first = 2}.count(8) == 2);
    STATIC_REQUIRE(fusion::CrossLayers{.every = 1, .first = 40}.count(28) == 0);
    using None =
        With<fusion::CrossAttention<fusion::pictures::Inside<>, fusion::CrossLayers{.every = 1, .first = 100}>>;
    CHECK(None::manifest().parameters.size() == Stock::manifest().parameters.size());
}

}  // namespace cross_attention_test
