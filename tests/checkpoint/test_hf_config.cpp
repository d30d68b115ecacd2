#include <qwen3vl/checkpoint/generation_config_json.hpp>
#include <qwen3vl/checkpoint/hf_config.hpp>
#include <qwen3vl/checkpoint/hf_config_writer.hpp>
#include <qwen3vl/testing/models.hpp>
#include "catch.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl;
using nlohmann::json;

namespace {
/// Qwen3-VL-2B-Instruct's config.json in the spelling of its release.
constexpr const char* released_2b = R"({
  "architectures": ["Qwen3VLForConditionalGeneration"],
  "image_token_id": 151655,
  "model_type": "qwen3_vl",
  "text_config": {
    "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643, "dtype": "bfloat16", "eos_token_id": 151645, "head_dim": 128,
    "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 6144, "max_position_embeddings": 262144,
    "model_type": "qwen3_vl_text", "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
    "rope_scaling": {"mrope_interleaved": true, "mrope_section": [24, 20, 20], "rope_type": "default"},
    "rope_theta": 5000000, "tie_word_embeddings": true, "use_cache": true, "vocab_size": 151936
  },
  "tie_word_embeddings": true,
  "transformers_version": "4.57.0.dev0",
  "video_token_id": 151656,
  "vision_config": {
    "deepstack_visual_indexes": [5, 11, 17], "depth": 24, "hidden_act": "gelu_pytorch_tanh", "hidden_size": 1024, "in_channels": 3,
    "initializer_range": 0.02, "intermediate_size": 4096, "model_type": "qwen3_vl", "num_heads": 16, "num_position_embeddings": 2304,
    "out_hidden_size": 2048, "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2
  },
  "vision_end_token_id": 151653,
  "vision_start_token_id": 151652
})";

/// A Llama config as old releases wrote it: without head_dim, rope_theta and the like.
constexpr const char* old_llama =
    R"({"model_type": "llama", "hidden_act": "silu", "hidden_size": 72, "intermediate_size": 160, "num_attention_heads": 9,
  "num_hidden_layers": 4, "num_key_value_heads": 3, "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 100000.0, "tie_word_embeddings": true,
  "vocab_size": 464, "max_position_embeddings": 2048})";

template <Dims D>
std::string error_of(const json& config) {
    const auto parsed = checkpoint::HfConfig::parse(config.dump(), "dir/config.json");
    return message_of<ConfigError>([&] { checkpoint::check_config<D>(parsed); });
}

/// The released config with one field changed: `where` is a JSON pointer.
json changed(const char* where, const json& value, const char* base = released_2b) {
    json config = json::parse(base);
    config[json::json_pointer(where)] = value;
    return config;
}

json without(const char* parent, const char* key, const char* base = released_2b) {
    json config = json::parse(base);
    (*parent ? config[json::json_pointer(parent)] : config).erase(key);
    return config;
}

std::string parse_error(std::string_view text) {
    return message_of<ConfigError>([&] { checkpoint::HfConfig::parse(text, "dir/config.json"); });
}

struct Qwen3Text {
    static constexpr TextDims text{.layers = 2,
                                   .heads = 4,
                                   .kv_heads = 2,
                                   .head_dim = 128,
                                   .hidden = 64,
                                   .ffn = 96,
                                   .vocab = 100,
                                   .max_positions = 512,
                                   .rope_theta = 1e6,
                                   .tied = false};
};
}  // namespace

TEST_CASE("the released config is that of Qwen3VL_2B and of no other model") {
    CHECK(error_of<models::Qwen3VL_2B>(json::parse(released_2b)).empty());
    const auto config = checkpoint::HfConfig::parse(released_2b, "config.json");
    CHECK(config.model_type() == "qwen3_vl");
    CHECK(config.eos() == std::vector<int>{151645});
    int found = 0;
    for_each_type<models::shipped_and_golden>(
        [&](auto tag) { found += checkpoint::matches<typename decltype(tag)::type>(config) ? 1 : 0; });
    CHECK(found == 1);
    std::string why;
    CHECK_FALSE(checkpoint::matches<models::Qwen3VL_4B>(config, &why));
    CHECK(why == "config.json: field 'text_config.num_hidden_layers': expected 36, found 28");
}

TEST_CASE("the spelling of transformers 5 is the same config") {
    json config = json::parse(released_2b);
    json& text = config["text_config"];
    text["rope_parameters"] = text["rope_scaling"];
    text["rope_parameters"]["rope_theta"] = 5000000.0;
    text.erase("rope_scaling");
    text.erase("rope_theta");
    config["vision_config"]["model_type"] = "qwen3_vl_vision";
    config["vision_config"]["rope_parameters"] = {{"rope_theta", 10000.0}, {"rope_type", "axial"}};
    CHECK(error_of<models::Qwen3VL_2B>(config).empty());
    config["text_config"]["rope_parameters"]["rope_theta"] = 5000001.0;
    CHECK_THAT(error_of<models::Qwen3VL_2B>(config),
               contains("'text_config.rope_parameters.rope_theta': expected 5000000.0, found 5000001.0"));
    config["text_config"]["rope_parameters"].erase("rope_theta");
    CHECK_THAT(error_of<models::Qwen3VL_2B>(config),
               contains("'text_config.rope_theta': expected 5000000.0, found nothing"));
    config["vision_config"]["rope_parameters"]["rope_theta"] = 5.0;
    config["text_config"]["rope_theta"] = 5e6;
    CHECK_THAT(error_of<models::Qwen3VL_2B>(config),
               contains("'vision_config.rope_parameters.rope_theta': expected 10000.0, found 5.0"));
}

TEST_CASE("the golden and shipped folders match their Dims alone") {
    const auto only = [](const std::string& folder, const std::string& expected) {
        const auto config = checkpoint::HfConfig::open(folder);
        std::string found;
        for_each_type<models::shipped_and_golden>([&](auto tag) {
            using D = typename decltype(tag)::type;
            if (checkpoint::matches<D>(config)) found += std::string(D::name) + " ";
        });
        CHECK(found == expected + " ");
    };
    only(test_data("/tiny"), "Tiny");
    only(test_data("/tall"), "Tall");
    only(test_data("/plain"), "Plain");
    only(test_models("/shapes"), "Shapes");
}

TEST_CASE("what config_json writes is what check_config accepts, and nothing else matches it") {
    for_each_type<models::shipped_and_golden>([](auto written) {
        using W = typename decltype(written)::type;
        const auto config = checkpoint::HfConfig::parse(
            checkpoint::config_json<W>({.dtype = DType::f32, .bos = 3, .eos = 5}), "config.json");
        CHECK(config.eos() == std::vector<int>{5});
        for_each_type<models::shipped_and_golden>([&](auto read) {
            using R = typename decltype(read)::type;
            INFO(W::name << " read as " << R::name);
            CHECK(checkpoint::matches<R>(config) == std::is_same_v<W, R>);
        });
    });
    const auto config = checkpoint::HfConfig::parse(checkpoint::config_json<Qwen3Text>(), "config.json");
    CHECK(config.model_type() == "qwen3");
    CHECK(checkpoint::matches<Qwen3Text>(config));
}

TEST_CASE("every field that differs is named with what was expected and found") {
    struct Case {
        const char *where, *message;
        json value;
    };
    const Case cases[] = {
        {"/model_type", "'model_type': expected \"qwen3_vl\", found \"qwen3_vl_moe\" (a mixture of experts",
         "qwen3_vl_moe"},
        {"/model_type", "'model_type': expected \"qwen3_vl\", found \"qwen2_5_vl\" (an older", "qwen2_5_vl"},
        {"/model_type", "'model_type': expected \"qwen3_vl\", found \"gemma\"", "gemma"},
        {"/model_type", "'model_type': expected a string, found 3", 3},
        {"/image_token_id", "'image_token_id': expected 151655, found 1", 1},
        {"/video_token_id", "'video_token_id': expected 151656, found -1", -1},
        {"/vision_start_token_id", "'vision_start_token_id': expected 151652, found 2", 2},
        {"/vision_end_token_id", "'vision_end_token_id': expected 151653, found 2", 2},
        {"/tie_word_embeddings", "'tie_word_embeddings': expected true, found false", false},
        {"/text_config", "'text_config': expected an object, found 7", 7},
        {"/text_config", "'text_config': expected an object, found nothing", nullptr},
        {"/vision_config", "'vision_config': expected an object, found nothing", nullptr},
        {"/text_config/model_type", "'text_config.model_type': expected \"qwen3_vl_text\", found \"x\"", "x"},
        {"/text_config/num_hidden_layers", "'text_config.num_hidden_layers': expected 28, found 27", 27},
        {"/text_config/num_hidden_layers", "'text_config.num_hidden_layers': expected an integer, found 28.0", 28.0},
        {"/text_config/num_hidden_layers", "'text_config.num_hidden_layers': expected an integer, found \"28\"", "28"},
        {"/text_config/num_hidden_layers", "'text_config.num_hidden_layers': expected 28, found nothing", nullptr},
        {"/text_config/num_hidden_layers", "expected an integer below 2^63, found 18446744073709551615",
         18446744073709551615u},
        {"/text_config/num_hidden_layers", "expected 28, found 4294967324", 4294967324},  // 28 in its low 32 bits
        {"/text_config/num_attention_heads", "'text_config.num_attention_heads': expected 16, found 8", 8},
        {"/text_config/num_key_value_heads", "'text_config.num_key_value_heads': expected 8, found 16", 16},
        {"/text_config/hidden_size", "'text_config.hidden_size': expected an integer, found a list of 1",
         json::array({2048})},
        {"/text_config/hidden_size", "'text_config.hidden_size': expected 2048, found 4096", 4096},
        {"/text_config/head_dim", "'text_config.head_dim': expected 128, found 64", 64},
        {"/text_config/intermediate_size", "'text_config.intermediate_size': expected 6144, found 1", 1},
        {"/text_config/vocab_size", "'text_config.vocab_size': expected 151936, found 1", 1},
        {"/text_config/max_position_embeddings", "'text_config.max_position_embeddings': expected 262144, found 1", 1},
        {"/text_config/max_position_embeddings", "expected 262144, found nothing, which stands for 128000", nullptr},
        {"/text_config/rms_norm_eps", "'text_config.rms_norm_eps': expected 1e-06, found 1e-05", 1e-5},
        {"/text_config/rms_norm_eps", "'text_config.rms_norm_eps': expected a number, found true", true},
        {"/text_config/hidden_act", "'text_config.hidden_act': expected \"silu\", found \"gelu\"", "gelu"},
        {"/text_config/attention_bias", "'text_config.attention_bias': expected false, found true", true},
        {"/text_config/attention_bias", "'text_config.attention_bias': expected true or false, found 0", 0},
        {"/text_config/rope_theta", "'text_config.rope_theta': expected 5000000.0, found 10000.0", 1e4},
        {"/text_config/rope_theta", "'text_config.rope_theta': expected 5000000.0, found nothing", nullptr},
        {"/text_config/tie_word_embeddings", "'text_config.tie_word_embeddings': expected true, found false", false},
        {"/text_config/rope_scaling", "'text_config.rope_scaling': expected an object, found \"x\"", "x"},
        {"/text_config/rope_scaling", "'text_config.rope_scaling.mrope_section': expected [24, 20, 20], found nothing",
         nullptr},
        {"/text_config/rope_scaling/mrope_section",
         "'text_config.rope_scaling.mrope_section': expected [24, 20, 20], found [20, 24, 20]",
         json::array({20, 24, 20})},
        {"/text_config/rope_scaling/mrope_section", "expected [24, 20, 20], found [24, 20]", json::array({24, 20})},
        {"/text_config/rope_scaling/mrope_section", "expected an integer, found \"x\"", json::array({24, 20, "x"})},
        {"/text_config/rope_scaling/mrope_interleaved",
         "'text_config.rope_scaling.mrope_interleaved': expected true, found false", false},
        {"/text_config/rope_scaling/rope_type",
         "'text_config.rope_scaling.rope_type': expected \"default\", found \"yarn\"", "yarn"},
        {"/vision_config/model_type", "'vision_config.model_type': expected \"qwen3_vl\", found \"x\"", "x"},
        {"/vision_config/depth", "'vision_config.depth': expected 24, found 27", 27},
        {"/vision_config/hidden_size", "'vision_config.hidden_size': expected 1024, found 1", 1},
        {"/vision_config/num_heads", "'vision_config.num_heads': expected 16, found 1", 1},
        {"/vision_config/intermediate_size", "'vision_config.intermediate_size': expected 4096, found 1", 1},
        {"/vision_config/out_hidden_size", "'vision_config.out_hidden_size': expected 2048, found 1", 1},
        {"/vision_config/num_position_embeddings", "'vision_config.num_position_embeddings': expected 2304, found 1",
         1},
        {"/vision_config/patch_size", "'vision_config.patch_size': expected 16, found 14", 14},
        {"/vision_config/temporal_patch_size", "'vision_config.temporal_patch_size': expected 2, found 1", 1},
        {"/vision_config/spatial_merge_size", "'vision_config.spatial_merge_size': expected 2, found 1", 1},
        {"/vision_config/in_channels", "'vision_config.in_channels': expected 3, found 4", 4},
        {"/vision_config/hidden_act", "'vision_config.hidden_act': expected \"gelu_pytorch_tanh\", found \"silu\"",
         "silu"},
        {"/vision_config/deepstack_visual_indexes",
         "'vision_config.deepstack_visual_indexes': expected [5, 11, 17], found [5, 11]", json::array({5, 11})},
        {"/vision_config/deepstack_visual_indexes", "expected [5, 11, 17], found nothing, which stands for [8, 16, 24]",
         nullptr},
    };
    for (const auto& c : cases) {
        INFO(c.where << " = " << c.value.dump());
        CHECK_THAT(error_of<models::Qwen3VL_2B>(changed(c.where, c.value)),
                   contains("dir/config.json: field '") && contains(c.message));
    }
}

TEST_CASE("absent optional fields stand for the defaults of transformers") {
    for (const char* field : {"attention_bias", "hidden_act", "head_dim", "rms_norm_eps", "model_type"}) {
        INFO(field);
        CHECK(error_of<models::Qwen3VL_2B>(without("/text_config", field)).empty());
    }
    for (const char* field : {"in_channels", "patch_size", "temporal_patch_size", "spatial_merge_size",
                              "num_position_embeddings", "hidden_act"}) {
        INFO(field);
        CHECK(error_of<models::Qwen3VL_2B>(without("/vision_config", field)).empty());
    }
    for (const char* field : {"image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"}) {
        INFO(field);
        CHECK(error_of<models::Qwen3VL_2B>(without("", field)).empty());
        json tiny = json::parse(checkpoint::config_json<models::Tiny>());
        tiny.erase(field);
        CHECK_THAT(error_of<models::Tiny>(tiny), contains("found nothing, which stands for 1516"));
    }
    CHECK(error_of<models::Qwen3VL_2B>(without("", "tie_word_embeddings")).empty());
    json config = without("", "tie_word_embeddings");
    config["text_config"].erase("tie_word_embeddings");
    CHECK_THAT(error_of<models::Qwen3VL_2B>(config),
               contains("'text_config.tie_word_embeddings': expected true, found nothing, which stands for false"));
}

TEST_CASE("text-only configs are flat") {
    CHECK(error_of<models::Plain>(json::parse(old_llama)).empty());
    CHECK_THAT(error_of<models::Plain>(changed("/head_dim", 16, old_llama)),
               contains("'head_dim': expected 8, found 16"));
    CHECK_THAT(error_of<models::Plain>(changed("/rope_scaling", {{"rope_type", "llama3"}, {"factor", 8.0}}, old_llama)),
               contains("'rope_scaling.rope_type': expected \"default\", found \"llama3\""));
    CHECK_THAT(error_of<models::Plain>(changed("/rope_scaling", {{"type", "linear"}}, old_llama)),
               contains("'rope_scaling.type': expected \"default\", found \"linear\""));
    CHECK_THAT(error_of<models::Plain>(changed("/mlp_bias", true, old_llama)),
               contains("'mlp_bias': expected false, found true"));
    CHECK_THAT(error_of<models::Plain>(without("", "rope_theta", old_llama)),
               contains("'rope_theta': expected 100000.0, found nothing, which stands for 10000.0"));
    CHECK_THAT(error_of<models::Plain>(without("", "num_key_value_heads", old_llama)),
               contains("'num_key_value_heads': expected 3, found nothing, which stands for 9"));
    CHECK_THAT(error_of<models::Plain>(without("", "model_type", old_llama)),
               contains("'model_type'") && contains("found nothing"));
    CHECK_THAT(error_of<models::Plain>(changed("/model_type", "qwen2", old_llama)),
               contains("whose attention has biases"));
    CHECK_THAT(error_of<models::Plain>(changed("/model_type", "qwen3", old_llama)), contains("with q/k norm"));
    CHECK_THAT(error_of<models::Plain>(json::parse(released_2b)), contains("a vision-language model"));
    CHECK_THAT(error_of<models::Plain>(changed("/partial_rotary_factor", 0.5, old_llama)),
               contains("'partial_rotary_factor': expected 1.0, found 0.5"));
    json qwen3 = json::parse(checkpoint::config_json<Qwen3Text>());
    qwen3["use_sliding_window"] = true;
    CHECK_THAT(error_of<Qwen3Text>(qwen3), contains("'use_sliding_window': expected false, found true"));
}

TEST_CASE("malformed JSON is a ConfigError that names the file") {
    for (const char* text : {"", "{", "[]", "3", "null", "{\"a\":NaN}", "{\"a\":1e999}", "{\"a\":Infinity}",
                             "{\"a\":1,}", "{\"\xff\":1}", "{} {}", "{\"a\":\"\\ud800\"}"}) {
        INFO(text);
        CHECK_THAT(parse_error(text), contains("dir/config.json: "));
    }
    CHECK_THAT(parse_error("{\"a\":1,\"a\":2}"), contains("'a'") && contains("twice"));
    CHECK_THAT(parse_error("{\"a\":{\"b\":1,\"c\":{},\"b\":2}}"), contains("'b'") && contains("twice"));
    CHECK(parse_error("{\"a\":{\"b\":1},\"c\":{\"b\":1},\"b\":[{\"b\":1},{\"b\":2}]}").empty());
    CHECK_THAT(parse_error(std::string(1 << 19, '[')), contains("nested deeper than 64"));
    CHECK_THAT(parse_error(std::string(1 << 21, ' ')), contains("at most 1048576"));
    CHECK_THROWS_AS(checkpoint::HfConfig::open("/nonexistent"), FileError);
}

TEST_CASE("generation_config.json is read with its ranges") {
    const auto released = checkpoint::parse_generation_config(
        R"({"bos_token_id": 151643, "pad_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643],
        "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.0, "temperature": 0.7, "transformers_version": "4.56.0"})",
        "g.json");
    CHECK(released.do_sample == true);
    CHECK(released.temperature == 0.7);
    CHECK(released.top_p == 0.8);
    CHECK(released.top_k == 20);
    CHECK(released.repetition_penalty == 1.0);
    CHECK_FALSE(released.min_p.has_value());
    CHECK_FALSE(released.presence_penalty.has_value());
    CHECK(released.eos == std::vector<int>{151645, 151643});
    CHECK(released.bos == 151643);
    CHECK(released.pad == 151643);

    const auto tiny = checkpoint::read_generation_config(test_data("/tiny"));
    REQUIRE(tiny.has_value());
    CHECK(tiny->eos == std::vector<int>{450});
    CHECK_FALSE(tiny->temperature.has_value());
    const TemporaryFolder empty;
    CHECK_FALSE(checkpoint::read_generation_config(empty.path()).has_value());

    const auto error = [](const char* text) {
        return message_of<ConfigError>([&] { checkpoint::parse_generation_config(text, "g.json"); });
    };
    CHECK_THAT(error(R"({"temperature": -1})"), contains("'temperature': expected a number from 0, found -1"));
    CHECK_THAT(error(R"({"temperature": "hot"})"), contains("found \"hot\""));
    CHECK_THAT(error(R"({"top_p": 1.5})"), contains("'top_p'"));
    CHECK_THAT(error(R"({"top_k": -1})"), contains("'top_k'"));
    CHECK_THAT(error(R"({"top_k": 4294967296})"), contains("'top_k'"));
    CHECK_THAT(error(R"({"min_p": 2})"), contains("'min_p'"));
    CHECK_THAT(error(R"({"repetition_penalty": 0})"), contains("'repetition_penalty'"));
    CHECK_THAT(error(R"({"do_sample": 1})"), contains("'do_sample'"));
    CHECK_THAT(error(R"({"eos_token_id": -1})"), contains("'eos_token_id'"));
    CHECK_THAT(error(R"({"eos_token_id": 2147483648})"), contains("'eos_token_id'"));
    CHECK_THAT(error(R"({"eos_token_id": [1, "x"]})"), contains("'eos_token_id'"));
    CHECK_THAT(error(R"({"pad_token_id": [1, 2]})"), contains("'pad_token_id'"));
    CHECK_THAT(error("["), contains("g.json: not valid JSON"));
    CHECK(error(R"({"temperature": null, "eos_token_id": null, "unknown": {}})").empty());
}
