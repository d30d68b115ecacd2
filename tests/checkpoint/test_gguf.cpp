#include <cstring>
#include <qwen3vl/checkpoint/gguf.hpp>
#include <qwen3vl/checkpoint/safetensors.hpp>
#include <qwen3vl/weights/values.hpp>
#include "catch.hpp"
#include "gguf_bytes.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl;
using checkpoint::GgufType;

namespace gguf_test {

const std::string folder = test_data("/gguf/");

std::string error_of(const std::string& bytes) {
    const TemporaryFolder temporary;
    const std::string path = temporary.write("x.gguf", bytes);
    return message_of<Error>([&] { checkpoint::GgufFile::open(path); });
}

std::string error_of(const GgufBytes& bytes, std::size_t data = 4096) { return error_of(bytes.file(data)); }

template <class T>
std::string number(T v) {
    return GgufBytes::number(v);
}

TEST_CASE("rows of every block type are, to the bit, those that gguf-py makes of them") {
    for (const char* type : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k_m", "q5_k_m", "q6_k"}) {
        const auto gguf = checkpoint::GgufFile::open(folder + type + ".gguf");
        const auto reference = checkpoint::SafetensorsFile::open(folder + type + ".safetensors");
        int compared = 0;
        for (const auto& [name, expected] : reference.tensors()) {
            if (!name.starts_with("dequantized.")) continue;
            CAPTURE(type, name);
            const TensorView& stored = gguf.at(name.substr(12));
            REQUIRE(stored.shape.back() == expected.shape.back());
            const auto n = static_cast<std::size_t>(expected.elements());
            std::vector<float> values(n), pieces(n);
            weights::read_values(stored, 0, expected.elements(), values.data());
            CHECK(std::memcmp(values.data(), expected.data, n * sizeof(float)) == 0);
            for (std::size_t at = 0; at < n; at += 37)  // a begin and a count that meet no block
                weights::read_values(stored, static_cast<std::int64_t>(at),
                                     static_cast<std::int64_t>(std::min<std::size_t>(37, n - at)), pieces.data() + at);
            CHECK(std::memcmp(pieces.data(), expected.data, n * sizeof(float)) == 0);
            ++compared;
        }
        CHECK(compared == 15);
    }
}

TEST_CASE("a file by llama.cpp's converter is read") {
    const auto gguf = checkpoint::GgufFile::open(folder + "q4_k_m.gguf");
    const auto& m = gguf.metadata();
    CHECK(m.string("general.architecture") == "llama");
    CHECK(m.integer("llama.block_count") == 2);
    CHECK(m.number("llama.rope.freq_base") == 1e5);
    CHECK(m.number("llama.attention.layer_norm_rms_epsilon") == 1e-5);  // stored as float32
    CHECK(m.strings("tokenizer.ggml.tokens", 1000)->size() == 464);
    CHECK(m.strings("tokenizer.ggml.tokens", 1000)->at(448) == "<|endoftext|>");
    CHECK(m.integers("tokenizer.ggml.token_type", 464)->at(448) == 3);
    CHECK(m.integer("nothing") == std::nullopt);
    CHECK(gguf.tensors().size() == 20);
    CHECK(gguf.at("blk.0.ffn_down.weight").shape == std::vector<std::int64_t>{256, 512});
    CHECK(gguf.at("blk.0.ffn_down.weight").dtype == DType::q4_k);
    CHECK(gguf.at("blk.0.ffn_down.weight").bytes() == 256 * 2 * 144);
    CHECK(gguf.at("blk.1.ffn_down.weight").dtype == DType::q6_k);
    CHECK(gguf.at("output_norm.weight").dtype == DType::f32);
    CHECK_THAT(message_of<LoadError>([&] { gguf.at("nothing"); }),
               contains("q4_k_m.gguf: tensor 'nothing'") && contains("20"));
}

TEST_CASE("views and strings stay valid when the file object moves") {
    auto first = checkpoint::GgufFile::open(folder + "q4_0.gguf");
    const TensorView kept = first.at("output_norm.weight");
    const auto name = *first.metadata().string("general.architecture");
    const auto second = std::move(first);
    CHECK(kept.file == folder + "q4_0.gguf");
    CHECK(kept.data == second.at("output_norm.weight").data);
    CHECK(name == "llama");
}

TEST_CASE("metadata of another type than asked for is an error that names file, key, expected and found") {
    const TemporaryFolder temporary;
    GgufBytes bytes;
    bytes.u32("u", 7)
        .f32("f", 0.1f)
        .boolean("b", true)
        .string("s", "text")
        .i32s("list", {1, 2, 3})
        .strings("words", {"a", ""});
    bytes.entry("big", GgufType::u64, number(~std::uint64_t{0}))
        .entry("low", GgufType::i8, "\xff")
        .entry("wide", GgufType::f64, number(0.5));
    bytes.array("flags", GgufType::boolean, 2, std::string("\1\0", 2)).array("means", GgufType::f32, 1, number(0.5f));
    const auto file = checkpoint::GgufFile::open(temporary.write("x.gguf", bytes.file()));
    const auto& m = file.metadata();
    CHECK(m.integer("u") == 7);
    CHECK(m.number("f") == 0.1);
    CHECK(m.number("wide") == 0.5);
    CHECK(m.integer("low") == -1);
    CHECK(m.boolean("b") == true);
    CHECK(m.integers("list", 3) == std::vector<std::int64_t>{1, 2, 3});
    CHECK(m.strings("words", 2) == std::vector<std::string_view>{"a", ""});
    CHECK(m.booleans("flags", 2) == std::vector<bool>{true, false});
    CHECK(m.numbers("means", 2) == std::vector<double>{0.5});
    const auto error = [](auto&& f) { return message_of<ConfigError>(f); };
    CHECK_THAT(error([&] { m.integer("s"); }),
               contains("x.gguf: field 's': expected an integer below 2^63, found string"));
    CHECK_THAT(error([&] { m.integer("big"); }), contains("field 'big': expected an integer below 2^63, found uint64"));
    CHECK_THAT(error([&] { m.integer("list"); }),
               contains("field 'list': expected an integer, found an array of 3 int32"));
    CHECK_THAT(error([&] { m.number("u"); }), contains("field 'u': expected a number, found uint32"));
    CHECK_THAT(error([&] { m.boolean("u"); }), contains("expected bool, found uint32"));
    CHECK_THAT(error([&] { m.string("words"); }), contains("expected a string, found an array of 2 string"));
    CHECK_THAT(error([&] { m.strings("list", 9); }),
               contains("expected an array of strings, found an array of 3 int32"));
    CHECK_THAT(error([&] { m.strings("s", 9); }), contains("expected an array of strings, found string"));
    CHECK_THAT(error([&] { m.integers("means", 9); }),
               contains("expected an array of integers below 2^63, found an array of 1 float32"));
    CHECK_THAT(error([&] { m.integers("list", 2); }), contains("expected at most 2 integers, found 3"));
    CHECK_THAT(error([&] { m.numbers("list", 9); }),
               contains("expected an array of numbers, found an array of 3 int32"));
    CHECK_THAT(error([&] { m.booleans("list", 9); }),
               contains("expected an array of bools, found an array of 3 int32"));
}

TEST_CASE("what is no GGUF file of a known version is refused") {
    CHECK_THAT(error_of(std::string()), contains("x.gguf: truncated"));
    CHECK_THAT(error_of(std::string("GGUX") + std::string(40, '\0')), contains("not a GGUF file"));
    CHECK_THAT(error_of(GgufBytes().header(1)), contains("expected GGUF version 2 or 3, found 1"));
    CHECK_THAT(error_of(GgufBytes().header(0x03000000)), contains("found a big-endian one"));
    CHECK(error_of(GgufBytes().header(2)).empty());
    CHECK_THAT(message_of<FileError>([] { checkpoint::GgufFile::open("/nowhere/x.gguf"); }),
               contains("/nowhere/x.gguf: cannot open"));
}

TEST_CASE("a file cut anywhere is refused") {
    GgufBytes bytes;
    bytes.string("general.architecture", "llama").strings("words", {"one", "two"}).i32s("list", {1, 2});
    bytes.stored("a", {4, 2}, 0, std::string(32, '\1')).stored("b", {32}, 8, std::string(34, '\2'));
    const std::string whole = bytes.file();
    REQUIRE(error_of(whole).empty());
    for (std::size_t n = 0; n < whole.size() - 30; ++n) {  // the last 30 bytes are padding
        CAPTURE(n, whole.size());
        CHECK(!error_of(whole.substr(0, n)).empty());
    }
}

TEST_CASE("counts and lengths are believed only as far as the file holds them") {
    const auto huge = ~std::uint64_t{0};
    const auto start = [](std::uint64_t tensors, std::uint64_t entries) {
        return "GGUF" + number<std::uint32_t>(3) + number(tensors) + number(entries);
    };
    CHECK_THAT(error_of(start(huge, 0)), contains("tensor_count: expected at most 131072, found 18446744073709551615"));
    CHECK_THAT(error_of(start(0, huge)), contains("metadata_kv_count: expected at most 65536"));
    CHECK_THAT(error_of(start(1000, 0)), contains("truncated"));
    CHECK_THAT(error_of(start(0, 1000)), contains("truncated"));
    CHECK_THAT(error_of(start(0, 1) + number(huge)), contains("metadata key 0: expected at most 1024 bytes"));
    CHECK_THAT(error_of(GgufBytes().array("x", GgufType::u64, huge, "")),
               contains("field 'x': expected an array that fits the file"));
    CHECK_THAT(error_of(GgufBytes().array("x", GgufType::u8, huge, "")),
               contains("truncated: expected 18446744073709551615 bytes of metadata 'x'"));
    CHECK_THAT(error_of(GgufBytes().array("x", GgufType::string, huge, "")), contains("truncated"));
    CHECK_THAT(error_of(GgufBytes().entry("x", GgufType::string, number(huge))), contains("truncated"));
    CHECK_THAT(error_of(start(1, 0) + number(huge)), contains("the name of tensor 0: expected at most 256 bytes"));
}

TEST_CASE("metadata entries that cannot be are refused by name") {
    CHECK_THAT(error_of(GgufBytes().entry("x", static_cast<GgufType>(13), "")),
               contains("field 'x': expected a metadata type from 0 to 12, found 13"));
    CHECK_THAT(error_of(GgufBytes().array("x", static_cast<GgufType>(77), 0, "")), contains("found 77"));
    CHECK_THAT(error_of(GgufBytes().array("x", GgufType::array, 1, "")),
               contains("field 'x'") && contains("found an array of arrays"));
    CHECK_THAT(error_of(GgufBytes().entry("x", GgufType::boolean, "\2")),
               contains("field 'x': expected bools of 0 or 1, found 2"));
    CHECK_THAT(error_of(GgufBytes().u32("x", 1).u32("x", 1)),
               contains("field 'x': expected each metadata key once, found it twice"));
    for (const std::uint32_t a : {0u, 3u, 48u, 1u << 17})
        CHECK_THAT(error_of(GgufBytes().u32("general.alignment", a)),
                   contains("'general.alignment': expected a power of two up to 65536, found " + std::to_string(a)));
    CHECK_THAT(error_of(GgufBytes().string("general.alignment", "32")),
               contains("'general.alignment'") && contains("found string"));
}

TEST_CASE("tensors that cannot be are refused by name") {
    const auto tensor = [](const std::vector<std::uint64_t>& extents, std::uint32_t type, std::uint64_t offset) {
        return error_of(GgufBytes().tensor("t", extents, type, offset));
    };
    REQUIRE(tensor({32, 2}, 8, 0).empty());
    CHECK_THAT(tensor({}, 0, 0), contains("x.gguf: tensor 't': expected 1 to 4 dimensions, found 0"));
    CHECK_THAT(tensor({1, 1, 1, 1, 1}, 0, 0), contains("found 5"));
    CHECK_THAT(tensor({0, 4}, 0, 0), contains("tensor 't': expected extents from 1 to 2^63 - 1, found 0"));
    CHECK_THAT(tensor({~std::uint64_t{0}}, 0, 0), contains("expected extents"));
    CHECK_THAT(tensor({std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, 0),
               contains("expected less than 2^59 elements, found [4294967296, 4294967296]"));
    CHECK_THAT(tensor({std::uint64_t{1} << 58}, 0, 0), contains("expected data within the file's 4096 data bytes"));
    CHECK_THAT(tensor({256}, 10, 0),
               contains("tensor 't': expected a ggml type among F32") && contains("found type 10"));
    CHECK_THAT(tensor({256}, 4711, 0), contains("found type 4711"));
    CHECK_THAT(tensor({48}, 8, 0), contains("expected rows of whole blocks of 32 for Q8_0, found [48]"));
    CHECK_THAT(tensor({128, 2}, 12, 0), contains("expected rows of whole blocks of 256 for Q4_K, found [2, 128]"));
    CHECK_THAT(tensor({4}, 0, 4), contains("expected an offset that is a multiple of 32, found 4"));
    CHECK_THAT(tensor({4}, 0, 4096),
               contains("expected data within the file's 4096 data bytes, found 16 bytes at 4096"));
    CHECK_THAT(tensor({4}, 0, ~std::uint64_t{31}), contains("expected data within"));
    CHECK_THAT(error_of(GgufBytes().tensor("t", {4}, 0, 0).tensor("t", {4}, 0, 32)),
               contains("tensor 't': expected each name once in the header"));
    CHECK_THAT(error_of(GgufBytes().tensor("a", {16}, 0, 0).tensor("b", {4}, 0, 32)),
               contains("tensor 'b': expected data behind that of 'a', which ends at 64, found a begin at 32"));
    CHECK_THAT(error_of(GgufBytes().tensor("a", {4}, 0, 0).tensor("b", {4}, 0, 0)),
               contains("expected data behind that of"));
    CHECK(error_of(GgufBytes().tensor("b", {4}, 0, 32).tensor("a", {4}, 0, 0)).empty());  // in any order
}

}  // namespace gguf_test
