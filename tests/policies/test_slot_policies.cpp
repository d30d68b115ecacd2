#include <cstring>
#include <filesystem>
#include <map>
#include <qwen3vl/chat/media.hpp>
#include <qwen3vl/checkpoint/safetensors_writer.hpp>
#include <qwen3vl/model/load.hpp>
#include "prompts.hpp"
#include "temporary_folder.hpp"

// Every slot of a whole model filled with a policy that brings a parameter, and where it sees a sequence a state.

using namespace qwen3vl_test;

namespace slot_policies_test {

/// Keeps one number for each token: that of the token before, and one more.
class TokenCounts {
  public:
    static constexpr bool can_rewind = true, can_save = true;
    static std::int64_t bytes(const ModelDims&, std::int64_t context) { return context * 4; }
    TokenCounts(const ModelDims&, std::int64_t, std::byte* memory) : counts_(reinterpret_cast<float*>(memory)) {}
    void rewind(std::int64_t tokens) { size_ = std::min(size_, tokens); }
    void copy(const TokenCounts& other, const SavedExtent&) {
        size_ = other.size_;
        std::copy_n(other.counts_, size_, counts_);
    }
    static std::int64_t saved_bytes(const ModelDims&, const SavedExtent& saved) { return saved.tokens * 4; }
    template <class F>
    void for_each_piece(const SavedExtent& saved, F&& f) {
        f(std::as_writable_bytes(std::span(counts_, static_cast<std::size_t>(saved.tokens))));
        size_ = saved.tokens;
    }
    /// The number of a token, of which all before have one.
    float of(std::int64_t token) {
        if (token > size_) throw LoadError("a token was left out");
        if (token == size_) {
            counts_[token] = token == 0 ? 1.0f : counts_[token - 1] + 1.0f;
            ++size_;
        }
        return counts_[token];
    }

  private:
    float* counts_;
    std::int64_t size_ = 0;
};

/// Adds to every row, after each layer, a row of a matrix of the layer, times a gate and the token's count.
struct RowsOfAMatrix : fusion::DeepStack {
    static constexpr const char* name = "RowsOfAMatrix";
    static inline int decoded = 0;
    template <class M, class V>
    struct Parameters {
        std::vector<M> rows;
        V gate{};
    };
    template <class P, class F>
    static void visit_parameters(const ModelDims& d, P& p, F&& f) {
        p.rows.resize(static_cast<std::size_t>(d.text.layers));
        f("fusion.gate", Shape{1}, p.gate);
        for (int i = 0; i < d.text.layers; ++i)
            f("fusion." + std::to_string(i) + ".rows", Shape{48, d.text.hidden}, p.rows[static_cast<std::size_t>(i)],
              i);
    }
    using State = TokenCounts;
    template <class Weights, class Pass>
    static void before_layer(const Pass& pass, int layer) {
        for (const auto& s : pass.sequences) decoded += layer == 0 && s.count == 1;
    }
    template <class Weights, class Pass>
    static void after_layer(const Pass& pass, int layer) {
        DeepStack::after_layer<Weights>(pass, layer);
        std::vector<float> row(static_cast<std::size_t>(pass.x.cols));
        for (const auto& s : pass.sequences)
            for (std::int64_t i = 0; i < s.count; ++i) {
                const std::int64_t token = s.first + i;
                weights::traits<Weights>::template row<arch::native>(
                    pass.parameters.rows[static_cast<std::size_t>(layer)], token % 48, row.data());
                const float factor = pass.parameters.gate[0] * s.state->of(token);
                for (std::int64_t c = 0; c < pass.x.cols; ++c)
                    pass.x.row(s.row + i)[c] += factor * row[static_cast<std::size_t>(c)];
            }
    }
};

/// Adds a vector of the layer beside the gated layer's output, by the token's count.
struct ShiftedFfn {
    static constexpr const char* name = "ShiftedFfn";
    static constexpr bool preserves_capacity = true;
    template <class M, class V>
    struct Parameters {
        ffn::Gated::Parameters<M, V> gated;
        V shift{};
    };
    template <class P, class F>
    static void visit_parameters(const TextDims& d, P& p, F&& f) {
        ffn::Gated::visit_parameters(d, p.gated, f);
        f("mlp.shift", Shape{d.hidden}, p.shift);
    }
    using State = TokenCounts;
    template <class Format, class Activation, class Pass>
    static void add(const Pass& pass, int /*layer*/, const weights::PackedActivations& x,
                    const weights::PackedActivations& inner) {
        ffn::Gated::add<Format, Activation>(pass.ops, pass.parameters.gated, x, inner, pass.x);
        for (const auto& s : pass.sequences)
            for (std::int64_t i = 0; i < s.count; ++i) {
                const float factor = 0.01f * s.state->of(s.first + i);
                for (std::int64_t c = 0; c < pass.x.cols; ++c)
                    pass.x.row(s.row + i)[c] += factor * pass.parameters.shift[static_cast<std::size_t>(c)];
            }
    }
};

/// Leaves a layer out for rows that it changes little, and for every seventh token.
struct LittleChange {
    static constexpr const char* name = "LittleChange";
    static constexpr bool preserves_capacity = false;
    static constexpr bool compares_rows = true;
    static constexpr bool runs(int, int) { return true; }
    template <class M, class V>
    struct Parameters {
        V least{};
    };
    template <class P, class F>
    static void visit_parameters(const ModelDims& d, P& p, F&& f) {
        f("depth.least", Shape{d.text.layers}, p.least);
    }
    using State = TokenCounts;
    template <class Weights, class Pass>
    static void after_layer(const Pass& pass, int layer, ConstMatrix before) {
        for (const auto& s : pass.sequences)
            for (std::int64_t i = 0; i < s.count; ++i) {
                float change = 0;
                for (std::int64_t c = 0; c < pass.x.cols; ++c)
                    change += std::abs(pass.x.row(s.row + i)[c] - before.row(s.row + i)[c]);
                const bool seventh = static_cast<int>(s.state->of(s.first + i)) % 7 == 0;
                if (seventh || change < pass.parameters.least[static_cast<std::size_t>(layer)])
                    std::copy_n(before.row(s.row + i), pass.x.cols, pass.x.row(s.row + i));
            }
    }
};

/// A learned vector for every count.
struct CountedPosition : position::Learned<position::MRopeInterleaved, Tokens{200}> {
    static constexpr const char* name = "CountedPosition";
    using State = TokenCounts;
    template <class Ops, class P>
    static void add(const Ops& ops, const P& p, TokenCounts& state, const TextDims& d, std::int64_t token, Matrix row) {
        Learned::add(ops, p, d, static_cast<std::int64_t>(state.of(token)) - 1, row);
    }
};

/// Scales the channels of features.
template <int Slot>
struct Scaled {
    static constexpr const char* name = "Scaled";
    template <class M, class V>
    struct Parameters {
        V scale{};
    };
    template <class P, class F>
    static void visit_parameters(const ModelDims& d, P& p, F&& f) {
        f(Slot == 0 ? "alignment.scale" : "token_reduction.scale", Shape{d.text.hidden}, p.scale);
    }
    template <class Weights, class Ops, class P>
    static void apply(const Ops& ops, const ModelDims&, const P& p, VisualFeatures& f) {
        ops.team().run(f.tokens(), [&](std::int64_t row, int) {
            for (std::int64_t c = 0; c < f.width; ++c)
                f.embedding[static_cast<std::size_t>(row * f.width + c)] *= p.scale[static_cast<std::size_t>(c)];
        });
    }
    template <class Weights, class... A>
    static void align(A&&... a) {
        apply<Weights>(a...);
    }
    template <class Weights, class... A>
    static void reduce(A&&... a) {
        apply<Weights>(a...);
    }
};

/// Half of the configured pixels, to the power of a parameter.
struct FewerPixels {
    static constexpr const char* name = "FewerPixels";
    template <class M, class V>
    struct Parameters {
        V halvings{};
    };
    template <class P, class F>
    static void visit_parameters(const ModelDims&, P& p, F&& f) {
        f("resolution.halvings", Shape{1}, p.halvings);
    }
    template <class P>
    static resolution::PixelBudget budget(const P& p, resolution::PixelBudget configured) {
        return {configured.least, configured.most >> static_cast<int>(p.halvings[0])};
    }
};

template <class Cache, class Format>
using FilledText = TextPolicies<Choice<slot::ffn, ShiftedFfn>, Choice<slot::depth, LittleChange>,
                                Choice<slot::position, CountedPosition>, Choice<slot::kv_cache, Cache>,
                                Choice<slot::weights, Format>, Choice<slot::token_reduction, Scaled<1>>>;
template <class Cache, class Format>
using Filled = Policies<Choice<slot::text, FilledText<Cache, Format>>, Choice<slot::fusion, RowsOfAMatrix>,
                        Choice<slot::alignment, Scaled<0>>>;
using M = Model<models::Tiny, Filled<kv_cache::Contiguous<>, weights::Int8<>>>;
using Pool = Model<models::Tiny, Filled<kv_cache::Paged<>, weights::Bf16>>;
using Stock = Model<models::Tiny, bundles::bf16>;

/// Random weights, of which some names have one value.
struct Source {
    testing::SyntheticSource weights;
    std::map<std::string, float> values = {};
    TensorView take(const std::string& name, const Shape& shape) {
        const TensorView view = weights.take(name, shape);
        for (const auto& [part, value] : values)
            if (name.find(part) != std::string::npos)
                std::fill_n(const_cast<float*>(reinterpret_cast<const float*>(view.data)), view.elements(), value);
        return view;
    }
};
template <class Model>
Model model_of(std::map<std::string, float> values) {
    auto source = std::make_shared<Source>();
    source->values = std::move(values);
    return Model(*source, source, nullptr, LoadOptions{.threads = 1});
}
const std::map<std::string, float> some = {{"fusion.gate", 0.01f}};

Prompt prompt_of(auto& session) { return picture_prompt<models::Tiny>(session, {{1, 4, 6}, {1, 4, 4}}); }

TEST_CASE("policies with parameters and states: any chunk, and every decoded token") {
    const auto model = model_of<M>(some);
    Session<M> whole(model, {.context = 200, .threads = 2});
    const Prompt prompt = prompt_of(whole);
    whole.append(prompt);
    const std::vector<float> expected(whole.logits().begin(), whole.logits().end());
    for (const int chunk : {1, 5, 100}) CHECK(testing::same_bits(run(model, prompt, chunk), expected));
    const int before = RowsOfAMatrix::decoded;
    whole.append(7);
    whole.append(9);
    CHECK(RowsOfAMatrix::decoded == before + 2);

    Prompt longer = prompt;
    longer.tokens.insert(longer.tokens.end(), {7, 9});
    CHECK(testing::same_bits(run(model, longer, 3), {whole.logits().data(), whole.logits().size()}));
}

TEST_CASE("states of policies are rewound, saved and restored") {
    const auto model = model_of<M>(some);
    Session<M> session(model, {.context = 200, .threads = 1}), other(model, {.context = 100, .threads = 1});
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    const auto length = session.length();
    session.append(7);
    const std::vector<float> expected(session.logits().begin(), session.logits().end());
    session.append(9);
    session.rewind(length);
    session.append(7);
    CHECK(testing::same_bits({session.logits().data(), session.logits().size()}, expected));

    const TemporaryFolder folder;
    session.rewind(length);
    session.save(folder.file("state"));
    other.append(Prompt{{1, 2, 3}});
    other.restore(folder.file("state"));
    other.append(7);
    CHECK(testing::same_bits({other.logits().data(), other.logits().size()}, expected));
}

TEST_CASE("states of policies are forked, and pages that others filled are not taken for them") {
    const auto model = model_of<Pool>(some);
    PagePool<Pool> pool(model, {.tokens = 1024});
    Session<Pool> session(pool, {.context = 200, .threads = 1}), again(pool, {.context = 200, .threads = 1});
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    auto fork = session.fork();
    session.append(7);
    fork.append(7);
    CHECK(testing::same_bits({fork.logits().data(), fork.logits().size()},
                             {session.logits().data(), session.logits().size()}));
    again.append(prompt);
    CHECK(again.reused_tokens() == 0);
    again.append(7);
    CHECK(testing::same_bits({again.logits().data(), again.logits().size()},
                             {session.logits().data(), session.logits().size()}));
}

TEST_CASE("parameters that change nothing give the stock model's bits") {
    const auto stock = model_of<Stock>({});
    const auto pool_model = model_of<Pool>({{"fusion.gate", 0.0f},
                                            {"mlp.shift", 0.0f},
                                            {"position.table", 0.0f},
                                            {"scale", 1.0f},
                                            {"depth.least", -1.0f}});
    PagePool<Pool> pool(pool_model, {.tokens = 1024});
    Session<Stock> a(stock, {.context = 200, .threads = 1});
    Session<Pool> b(pool, {.context = 200, .threads = 1});
    const std::vector<int> six = {1, 2, 3, 4, 5, 6};  // the depth policy leaves out every seventh
    a.append(Prompt{six});
    b.append(Prompt{six});
    CHECK(testing::same_bits({a.logits().data(), a.logits().size()}, {b.logits().data(), b.logits().size()}));
}

TEST_CASE("the manifest names what policies bring, and the plan has their bytes") {
    const auto manifest = M::manifest();
    std::map<std::string, const Parameter<typename M::policies::Execution::Team>*> named;
    for (const auto& p : manifest.parameters) CHECK(named.emplace(p.name, &p).second);
    REQUIRE(named.contains("fusion.1.rows"));
    CHECK(named["fusion.1.rows"]->stage == manifest.layer_stage(1));
    CHECK(named["fusion.1.rows"]->format->name == std::string(weights::Int8<>::name));
    CHECK(named.contains("model.language_model.layers.0.mlp.shift"));
    for (const char* name :
         {"fusion.gate", "position.table", "depth.least", "alignment.scale", "token_reduction.scale"})
        CHECK(named.contains(name));

    std::int64_t states = 0;
    for (const auto& part : M::memory_plan({.context = 100}).parts)
        if (part.name == "states of policies") states += part.bytes;
    CHECK(states >= 4 * 100 * 4);
    CHECK_FALSE(M::preserves_capacity);
}

TEST_CASE("the manifest has the biases of a norm that has some") {
    using Norms = Policies<>::with_text<TextPolicies<>::with_norm<norm::LayerNorm>>;
    const auto stock = manifest<models::Plain, Policies<>>(), biased = manifest<models::Plain, Norms>();
    CHECK(biased.parameters.size() ==
          stock.parameters.size() + 2 * static_cast<std::size_t>(models::Plain::text.layers) + 1);
    const auto bytes = [](const auto& m) {
        std::int64_t sum = 0;
        for (const auto& part :
             detail::weight_plan(m, detail::stream_extents<models::Plain, Policies<>>(), DType::bf16).parts)
            if (part.name == "norms and biases") sum += part.bytes;
        return sum;
    };
    CHECK(bytes(biased) == bytes(stock) + (2 * models::Plain::text.layers + 1) * models::Plain::text.hidden * 4);
}

TEST_CASE("parameters come from further files, whose faults are named") {
    using Tiny = Model<models::Tiny, Policies<>::with_fusion<RowsOfAMatrix>>;
    const std::string folder = test_data("/tiny");
    const TemporaryFolder files;
    const auto write = [&](const std::string& file, const std::vector<std::pair<std::string, Shape>>& tensors) {
        std::vector<checkpoint::TensorSpec> specs;
        std::int64_t most = 0;
        for (const auto& [name, shape] : tensors) {
            specs.push_back({name, DType::f32, shape});
            most = std::max(most, TensorView{DType::f32, shape, nullptr, {}}.elements());
        }
        const std::vector<float> zeros(static_cast<std::size_t>(most), 0.0f);
        checkpoint::write_safetensors(files.file(file), specs, [&](std::size_t i, const checkpoint::ByteSink& sink) {
            const std::int64_t n = TensorView{DType::f32, specs[i].shape, nullptr, {}}.elements();
            sink(std::as_bytes(std::span(zeros).first(static_cast<std::size_t>(n))));
        });
        return files.file(file);
    };
    const std::int64_t hidden = models::Tiny::text.hidden;
    std::vector<std::pair<std::string, Shape>> rows;
    for (int i = 0; i < models::Tiny::text.layers; ++i)
        rows.push_back({"fusion." + std::to_string(i) + ".rows", {48, hidden}});
    const auto all = write("rows", rows), gate = write("gate", {{"fusion.gate", {1}}});
    CHECK_NOTHROW(Tiny::load(folder, {.parameters = {all, gate}}));
    CHECK_THROWS_WITH(Tiny::load(folder, {.parameters = {all}}),
                      Catch::Contains("fusion.gate") && Catch::Contains("LoadOptions::parameters"));
    CHECK_THROWS_WITH(Tiny::load(folder, {.parameters = {all, gate, gate}}),
                      Catch::Contains("fusion.gate") && Catch::Contains("too"));
    CHECK_THROWS_WITH(Tiny::load(folder, {.parameters = {all, gate, write("unknown", {{"fusion.gates", {1}}})}}),
                      Catch::Contains("unknown") && Catch::Contains("fusion.gates"));
    CHECK_THROWS_WITH(Tiny::load(folder, {.parameters = {all, write("wrong", {{"fusion.gate", {2}}})}}),
                      Catch::Contains("fusion.gate") && Catch::Contains("[1]") && Catch::Contains("[2]"));
    CHECK_THROWS_WITH((Model<models::Tiny, bundles::bf16>::load(folder, {.parameters = {gate}})),
                      Catch::Contains("fusion.gate"));
}

TEST_CASE("a resolution policy sees its parameters") {
    using Fewer = Model<models::Tiny, Policies<>::with_vision<VisionPolicies<>::with_resolution<FewerPixels>>>;
    for (const float halvings : {0.0f, 3.0f}) {
        const auto model = model_of<Fewer>({{"resolution.halvings", halvings}});
        const Assets assets;
        const detail::MediaConfig<Fewer> config(model, assets);
        CHECK(config.image.max_pixels == assets.image.max_pixels >> static_cast<int>(halvings));
        CHECK(config.video.max_pixels == assets.video.max_pixels >> static_cast<int>(halvings));
        CHECK(config.image.min_pixels == assets.image.min_pixels);
    }
}

}  // namespace slot_policies_test
