#include <qwen3vl/checkpoint/safetensors_writer.hpp>
#include <qwen3vl/model/load.hpp>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace parameters_test {

/// With a head of its own, so that an embedding can be changed without the logits' weights.
struct Untied : models::Tiny {
    static constexpr TextDims text = [] {
        TextDims d = models::Tiny::text;
        d.tied = false;
        return d;
    }();
};
using Stock = Model<Untied, bundles::float32>;
template <class Position>
using With = Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, weights::Float32>,
                                                      Choice<slot::kv_cache, kv_cache::Contiguous<kv_cache::Float32>>,
                                                      Choice<slot::position, Position>>>,
                      Choice<slot::vision, VisionPolicies<Choice<slot::weights, weights::Float32>>>>;
using Learned = position::Learned<position::MRopeInterleaved, Tokens{40}>;
using M = Model<Untied, With<Learned>>;

/// Random weights, a table of positions, and rows to be added to the embedding.
struct Source {
    testing::SyntheticSource weights;
    std::vector<float> table = std::vector<float>(static_cast<std::size_t>(40 * Untied::text.hidden));
    std::vector<int> moved = {};  ///< token i of these has table row i added to its embedding
    std::vector<std::string> names = {};

    TensorView take(const std::string& name, const Shape& shape) {
        if (name.starts_with("position.")) return take_table(name, shape);
        const TensorView view = weights.take(name, shape);
        if (name.ends_with("embed_tokens.weight"))
            for (std::size_t i = 0; i < moved.size(); ++i) {
                const std::int64_t hidden = Untied::text.hidden;
                auto* row = const_cast<float*>(reinterpret_cast<const float*>(view.data)) + moved[i] * hidden;
                for (std::int64_t c = 0; c < hidden; ++c)
                    row[c] += table[static_cast<std::size_t>(static_cast<std::int64_t>(i) * hidden + c)];
            }
        return view;
    }
    TensorView take_table(const std::string& name, const Shape& shape) {
        names.push_back(name);
        CHECK(shape == Shape{40, Untied::text.hidden});
        return {DType::f32, shape, reinterpret_cast<const std::byte*>(table.data()), "test"};
    }
};

template <class Model>
Model model_of(std::shared_ptr<Source> source) {
    return Model(*source, source, nullptr, LoadOptions{.progress = {}, .log = {}, .threads = 1});
}

TEST_CASE("a learned table of positions is added to what is embedded") {
    auto source = std::make_shared<Source>();
    const auto stock = model_of<Stock>(source);
    CHECK(source->names.empty());
    const auto zero = model_of<M>(source);
    CHECK(source->names == std::vector<std::string>{"position.table"});
    Session<Stock> pictures(stock, {.context = 40, .threads = 1});
    const auto prompt = picture_prompt<Untied>(pictures, {{1, 4, 6}});
    CHECK(testing::same_bits(run(zero, prompt), run(stock, prompt)));  // of zeros it is the stock model

    std::vector<int> tokens(20);
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int>(3 + i);  // each once
    source->table = testing::Rng(3).floats(source->table.size());
    const auto learned = model_of<M>(source);
    source->moved = tokens;
    const auto moved = model_of<Stock>(source);
    const Prompt text{tokens, {}};
    const auto expected = run(moved, text);
    CHECK_FALSE(testing::same_bits(expected, run(stock, text)));
    for (const int chunk : {1, 7, 100}) CHECK(testing::same_bits(run(learned, text, chunk), expected));
    CHECK_FALSE(testing::same_bits(run(learned, prompt), run(stock, prompt)));  // pictures too
    CHECK(learned.fingerprint() != zero.fingerprint());

    CHECK(Session<M>::max_context == 40);
    CHECK_THROWS_AS(Session<M>(learned, {.context = 41, .threads = 1}), ContextOverflow);
    std::int64_t bytes = 0;
    for (const auto& part : M::memory_plan({.context = 40}).parts)
        if (part.name == "parameters of policies") bytes = part.bytes;
    CHECK(bytes == 40 * Untied::text.hidden * 4);
}

TEST_CASE("tables of policies come from a safetensors file, and what is wrong with it is said") {
    using Tiny = Model<models::Tiny, With<position::Learned<position::MRopeInterleaved, Tokens{300}>>>;
    const std::string folder = test_data("/tiny");
    const TemporaryFolder files;
    const auto write = [&](const std::string& file, const std::string& name, const Shape& shape) {
        std::vector<float> values(static_cast<std::size_t>(shape[0] * shape[1]), 0.25f);
        const std::vector<checkpoint::TensorSpec> specs{{name, DType::f32, shape}};
        checkpoint::write_safetensors(files.file(file), specs, [&](std::size_t, const checkpoint::ByteSink& sink) {
            sink(std::as_bytes(std::span(values)));
        });
    };
    CHECK_THROWS_WITH(Tiny::load(folder),
                      Catch::Contains("LoadOptions::parameters") && Catch::Contains("position.table"));
    write("good", "position.table", {300, models::Tiny::text.hidden});
    CHECK_NOTHROW(Tiny::load(folder, {.parameters = {files.file("good")}}));
    write("other", "positions", {300, models::Tiny::text.hidden});
    CHECK_THROWS_WITH(
        Tiny::load(folder, {.parameters = {files.file("other")}}),
        Catch::Contains("other") && Catch::Contains("position.table") && Catch::Contains("no such tensor"));
    write("short", "position.table", {299, models::Tiny::text.hidden});
    CHECK_THROWS_WITH(Tiny::load(folder, {.parameters = {files.file("short")}}),
                      Catch::Contains("300") && Catch::Contains("299"));
    CHECK_THROWS_AS(Tiny::load(folder, {.parameters = {files.file("missing")}}), FileError);
}

}  // namespace parameters_test
