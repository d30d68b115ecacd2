#include <algorithm>
#include <qwen3vl/image/image.hpp>
#include <qwen3vl/model/load.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/testing/golden.hpp>
#include "catch.hpp"
#include "small_llama.hpp"

using namespace qwen3vl;

namespace gguf_test {

using Small = qwen3vl_test::SmallLlama;
const std::string folder = test_data("/gguf/"), shapes = folder + "shapes/shapes-bf16.gguf";

using Log = std::vector<std::string>;
LogHook into(Log& log) {
    return [&log](std::string_view text) { log.emplace_back(text); };
}

TEST_CASE("a GGUF model of every block type computes what the reference computes of its weights") {
    for (const char* type : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k_m", "q5_k_m", "q6_k"}) {
        Log log;
        const auto model = Model<Small, bundles::float32>::load(folder + type + ".gguf", {.log = into(log)});
        CHECK(log.empty());
        const auto file = checkpoint::SafetensorsFile::open(folder + type + ".safetensors");
        for (const int chunk : {0, 5}) {
            int compared = 0;
            for (const auto& row : testing::check_golden_case(model, file, chunk, 2)) {
                if (row.tensor.starts_with("dequantized."))
                    continue;  // rows of weights, which the reader's test compares
                CAPTURE(type, chunk, row.tensor, row.relative, row.note);
                CHECK(row.pass);
                ++compared;
            }
            CHECK(compared == 2);  // logits and forced_logits
        }
    }
}

TEST_CASE("a format that rounds what a GGUF file holds says so, once for each type") {
    Log log;
    Model<Small, bundles::bf16>::load(folder + "q4_k_m.gguf", {.log = into(log)});
    REQUIRE(log.size() == 2);
    CHECK(log[0].find("q4_k_m.gguf: Q") != std::string::npos);
    for (const char* type : {"Q4_K", "Q6_K"})
        CHECK(std::count_if(log.begin(), log.end(), [&](const auto& text) {
                  return text.find(std::string(type) + " weights are rounded to the format bf16") != std::string::npos;
              }) == 1);
}

TEST_CASE("a vision-language model from GGUF sees and says, to the bit, what the one from safetensors does") {
    using M = Model<models::Shapes, bundles::float32>;
    Log log;
    const auto gguf = M::load(shapes, {.log = into(log)});
    const auto reference = M::load(test_models("/shapes"));
    CHECK(log.empty());
    REQUIRE(gguf.assets());
    CHECK(gguf.assets()->folder == shapes);
    const auto picture = Image::open(test_models("/../pictures/shapes.png"));
    const auto logits = [&](const M& model) {
        Session<M> session(model, {.context = 512, .threads = 2});
        const auto features = encode(session.workspace(), preprocess(picture, model.assets()->image));
        std::string prompt = "<|im_start|>user\n<|vision_start|>";
        for (std::int64_t i = 0; i < features->tokens(); ++i) prompt += "<|image_pad|>";
        prompt += "<|vision_end|>Describe the picture.<|im_end|>\n<|im_start|>assistant\n";
        session.append(Prompt{model.assets()->tokenizer->encode(prompt, {.parse_special = true}), {features}});
        return std::vector<float>(session.logits().begin(), session.logits().end());
    };
    CHECK(logits(gguf) == logits(reference));
}

TEST_CASE("loading a GGUF model checks the dims and names file and key") {
    const auto error = [](auto&& load) {
        try {
            load();
        } catch (const ConfigError& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    CHECK(error([] {
              Model<models::SmolLM2_135M>::load(folder + "q8_0.gguf");
          }).find("q8_0.gguf: field 'llama.block_count': expected 30, found 2") != std::string::npos);
}

}  // namespace gguf_test
