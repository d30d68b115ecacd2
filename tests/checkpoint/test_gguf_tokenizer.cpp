#include <qwen3vl/checkpoint/gguf.hpp>
#include <qwen3vl/checkpoint/gguf_defaults.hpp>
#include <qwen3vl/checkpoint/gguf_tokenizer.hpp>
#include <qwen3vl/image/preprocessor_config.hpp>
#include <qwen3vl/tokenizer/tokenizer_json.hpp>
#include "catch.hpp"
#include "gguf_bytes.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl;

namespace gguf_tokenizer_test {

const std::string shapes = test_data("/gguf/shapes/shapes-bf16.gguf"),
                  mmproj = test_data("/gguf/shapes/mmproj-shapes-bf16.gguf");

/// A file open for as long as what was read of it is used.
struct Opened {
    explicit Opened(const GgufBytes& bytes) : file(checkpoint::GgufFile::open(folder.write("x.gguf", bytes.file()))) {}
    const checkpoint::GgufMetadata& metadata() const { return file.metadata(); }
    TemporaryFolder folder;
    checkpoint::GgufFile file;
};

GgufBytes tokenizer_of(const std::string& pre, const std::vector<std::string>& tokens,
                       const std::vector<std::int32_t>& types, const std::vector<std::string>& merges) {
    GgufBytes b;
    b.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", pre);
    return b.strings("tokenizer.ggml.tokens", tokens)
        .i32s("tokenizer.ggml.token_type", types)
        .strings("tokenizer.ggml.merges", merges);
}

std::string error_of(const GgufBytes& bytes) {
    const Opened opened(bytes);
    return message_of<Error>([&] { checkpoint::GgufTokenizer::read(opened.metadata()); });
}

TEST_CASE("the tokenizer of a GGUF file is the one of the folder that it was made from") {
    const auto gguf = checkpoint::GgufFile::open(shapes);
    const auto ours = checkpoint::GgufTokenizer::read(gguf.metadata());
    const auto reference = tokenizer::Tokenizer::open(test_models("/shapes/tokenizer.json"));
    REQUIRE(ours);
    CHECK(ours->vocab_size() == reference.vocab_size());
    CHECK(ours->file() == shapes);
    for (const std::string text :
         {"Where is the blue star?",
          "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Describe the picture.<|im_end|>\n",
          "It's 1234 circles,  \n\n and\ttwo crosses!!", "Ünïcödé \xE4\xBD\xA0\xE5\xA5\xBD e\xCC\x81 \xF0\x9F\x98\x80",
          "", " "}) {
        CAPTURE(text);
        for (const bool special : {false, true})
            CHECK(ours->encode(text, {.parse_special = special}) == reference.encode(text, {.parse_special = special}));
        CHECK(ours->decode(ours->encode(text, {.parse_special = true}), {.skip_special = true}) ==
              reference.decode(reference.encode(text, {.parse_special = true}), {.skip_special = true}));
    }
    for (int id = 0; id < 464; ++id) {
        REQUIRE(ours->has_token(id) == reference.has_token(id));
        if (!ours->has_token(id)) continue;
        CHECK(ours->token_bytes(id) == reference.token_bytes(id));
        CHECK(ours->is_special(id) == reference.is_special(id));
    }
}

TEST_CASE("pre-tokenizers cut texts as their names say") {
    // "Ġ" spells a space. A merge over a cut would make one token of what the pre-tokenizer separates.
    const std::vector<std::string> tokens{"1", "2", "12", "a", "Ġ", "Ġa", "<s>", "-"}, merges{"1 2", "Ġ a"};
    const std::vector<std::int32_t> types{1, 1, 1, 1, 1, 1, 3, 4};
    const auto encode = [&](const std::string& pre, const std::string& text) {
        const Opened opened(tokenizer_of(pre, tokens, types, merges));
        return checkpoint::GgufTokenizer::read(opened.metadata())->encode(text, {.parse_special = true});
    };
    CHECK(encode("smollm", "12 a") == std::vector<int>{0, 1, 5});
    CHECK(encode("qwen2", "12 a") == std::vector<int>{0, 1, 5});
    CHECK(encode("gpt-2", "12 a") == std::vector<int>{2, 5});
    CHECK(encode("gpt-2", "12<s>-a") == std::vector<int>{2, 6, 7, 3});
    CHECK_THAT(message_of<TokenizerError>([&] { encode("gpt-2", "b"); }),
               contains("x.gguf: no token stands for byte 98, which the text holds"));
}

TEST_CASE("a tokenizer that is malformed or of another kind is refused by key") {
    const std::vector<std::string> tokens{"a", "b", "ab", "<s>"}, merges{"a b"};
    const std::vector<std::int32_t> types{1, 1, 1, 3};
    REQUIRE(error_of(tokenizer_of("qwen2", tokens, types, merges)).empty());
    const Opened none{GgufBytes()};
    CHECK(!checkpoint::GgufTokenizer::read(none.metadata()));
    CHECK_THAT(error_of(GgufBytes().string("tokenizer.ggml.model", "llama")),
               contains("x.gguf: field 'tokenizer.ggml.model': expected gpt2, a byte-level BPE, found 'llama'"));
    CHECK_THAT(error_of(GgufBytes().u32("tokenizer.ggml.model", 1)), contains("expected a string, found uint32"));
    CHECK_THAT(error_of(GgufBytes().string("tokenizer.ggml.model", "gpt2")),
               contains("'tokenizer.ggml.pre': expected qwen2, smollm or gpt-2, found nothing"));
    CHECK_THAT(error_of(tokenizer_of("llama-bpe", tokens, types, merges)), contains("found 'llama-bpe'"));
    CHECK_THAT(error_of(GgufBytes().string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "qwen2")),
               contains("'tokenizer.ggml.tokens': expected an array of strings, found nothing"));
    CHECK_THAT(error_of(tokenizer_of("qwen2", tokens, {1, 1}, merges)),
               contains("'tokenizer.ggml.token_type': expected 4 types, one for each token, found 2"));
    CHECK_THAT(error_of(tokenizer_of("qwen2", tokens, {1, 1, 1, 6}, merges)),
               contains("'tokenizer.ggml.token_type[3]': expected 1, 3, 4 or 5, found 6"));
    CHECK_THAT(error_of(tokenizer_of("qwen2", {"a", " "}, {1, 1}, {})),
               contains("'tokenizer.ggml.tokens[1]': expected a token spelled in the byte-level alphabet"));
    CHECK_THAT(error_of(tokenizer_of("qwen2", {"a", "\xff"}, {1, 1}, {})),
               contains("'tokenizer.ggml.tokens[1]': expected UTF-8"));
    CHECK_THAT(error_of(tokenizer_of("qwen2", {"a", "a"}, {1, 1}, {})), contains("listed twice"));
    CHECK_THAT(error_of(tokenizer_of("qwen2", {"<s>", "<s>"}, {3, 4}, {})),
               contains("expected each control token once, found '<s>' again"));
    CHECK_THAT(error_of(tokenizer_of("qwen2", {""}, {3}, {})),
               contains("expected 1 to 256 bytes in a control token, found 0"));
    CHECK_THAT(error_of(tokenizer_of("qwen2", tokens, types, {"a"})),
               contains("'tokenizer.ggml.merges[0]': expected two tokens and a space between them"));
    CHECK_THAT(error_of(tokenizer_of("qwen2", tokens, types, {"a b", "b a"})),
               contains("'tokenizer.ggml.merges[1]': expected tokens of the vocabulary, found 'ba'"));
    CHECK_THAT(error_of(tokenizer_of("qwen2", tokens, types, {"< s>"})), contains("found '<'"));
}

TEST_CASE("what ends a generation, and how it is sampled") {
    const auto gguf = checkpoint::GgufFile::open(shapes);
    const auto g = checkpoint::gguf_generation_config(gguf.metadata());
    CHECK(g.eos == std::vector<int>{437, 435});  // as generation_config.json of the folder says
    CHECK(g.bos == 435);
    CHECK(g.pad == 435);
    CHECK(!g.do_sample);
    const auto read = [](const GgufBytes& bytes) {
        const Opened opened(bytes);
        return checkpoint::gguf_generation_config(opened.metadata());
    };
    const auto sampled = read(GgufBytes()
                                  .f32("general.sampling.temp", 0.7f)
                                  .f32("general.sampling.top_p", 0.8f)
                                  .u32("general.sampling.top_k", 20));
    CHECK(sampled.do_sample == true);
    CHECK(sampled.temperature == 0.7);
    CHECK(sampled.top_p == 0.8);
    CHECK(sampled.top_k == 20);
    CHECK(sampled.eos.empty());
    const auto error = [&](const GgufBytes& bytes) { return message_of<ConfigError>([&] { read(bytes); }); };
    CHECK_THAT(error(GgufBytes().f32("general.sampling.temp", -1.0f)),
               contains("x.gguf: field 'general.sampling.temp': expected a number from 0, found -1.0"));
    CHECK_THAT(error(GgufBytes().f32("general.sampling.top_p", 2.0f)),
               contains("'general.sampling.top_p': expected a number from 0 to 1, found 2.0"));
    CHECK_THAT(error(GgufBytes().i32s("tokenizer.ggml.eos_token_id", {1})),
               contains("'tokenizer.ggml.eos_token_id': expected an integer, found an array"));
    CHECK_THAT(error(GgufBytes().u32("tokenizer.ggml.eos_token_id", 1u << 31)),
               contains("expected an integer from 0 to 2147483647, found 2147483648"));
}

TEST_CASE("how pictures are prepared for a vision part") {
    const auto config = checkpoint::gguf_preprocessor_config(checkpoint::GgufFile::open(mmproj));
    CHECK(config.layout == image::read_preprocessor_config(test_models("/shapes/preprocessor_config.json")).layout);
    CHECK(config.min_pixels == 64 * 64);  // image_size 192
    CHECK(config.max_pixels == 1024 * 1024);
    CHECK(checkpoint::gguf_video_preprocessor_config(checkpoint::GgufFile::open(mmproj)).layout == config.layout);
    const auto read = [](const GgufBytes& bytes) { return checkpoint::gguf_preprocessor_config(Opened(bytes).file); };
    const PreprocessorConfig released;
    const auto side = read(GgufBytes().u32("clip.vision.image_size", 768));
    CHECK(side.min_pixels == released.min_pixels);
    CHECK(side.max_pixels == released.max_pixels);
    const auto stated = read(GgufBytes()
                                 .u32("clip.vision.image_size", 768)
                                 .u32("clip.vision.image_min_pixels", 1000)
                                 .u32("clip.vision.image_max_pixels", 2000));
    CHECK(stated.min_pixels == 1000);
    CHECK(stated.max_pixels == 2000);
    const auto error = [&](const GgufBytes& bytes) { return message_of<ConfigError>([&] { read(bytes); }); };
    CHECK_THAT(error(GgufBytes().u32("clip.vision.image_min_pixels", 3000).u32("clip.vision.image_max_pixels", 2000)),
               contains("expected at most image_max_pixels, 2000, found 3000"));
    CHECK_THAT(error(GgufBytes().u32("clip.vision.patch_size", 0)),
               contains("'clip.vision.patch_size': expected an integer from 1 to 256, found 0"));
    CHECK_THAT(error(GgufBytes().array("clip.vision.image_std", checkpoint::GgufType::f32, 3, std::string(12, '\0'))),
               contains("'clip.vision.image_std': expected three numbers"));
}

}  // namespace gguf_tokenizer_test
