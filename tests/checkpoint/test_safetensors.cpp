#include <array>
#include <cstring>
#include <numeric>
#include <qwen3vl/checkpoint/safetensors.hpp>
#include <qwen3vl/checkpoint/safetensors_writer.hpp>
#include "catch.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl;

namespace {
/// The error that a file with this header and data size gives; empty where it opens.
std::string error_of(const std::string& header, std::size_t data_bytes) {
    const TemporaryFolder folder;
    const std::string path = folder.write("x.safetensors", safetensors_bytes(header, data_bytes));
    return message_of<LoadError>([&] { checkpoint::SafetensorsFile::open(path); });
}

std::string error_of_bytes(std::string_view bytes) {
    const TemporaryFolder folder;
    const std::string path = folder.write("x.safetensors", bytes);
    return message_of<LoadError>([&] { checkpoint::SafetensorsFile::open(path); });
}

template <class T>
TensorView view(const std::vector<T>& values, DType dtype, std::vector<std::int64_t> shape) {
    return {dtype, std::move(shape), reinterpret_cast<const std::byte*>(values.data()), ""};
}
}  // namespace

TEST_CASE("tensors of every element type survive a round trip") {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/all.safetensors";
    std::vector<unsigned char> bytes(64 * 8);
    std::iota(bytes.begin(), bytes.end(), static_cast<unsigned char>(7));
    std::vector<std::pair<std::string, TensorView>> tensors;
    for (int d = 0; d <= static_cast<int>(DType::u64); ++d) {
        const auto dtype = static_cast<DType>(d);
        const std::string name(dtype_name(dtype));
        tensors.emplace_back(
            name + ".matrix",
            view(bytes, dtype, {3, 5}));  // an odd count, so that narrow types would misalign wide ones
        tensors.emplace_back(name + ".scalar", view(bytes, dtype, {}));
        tensors.emplace_back(name + ".empty", view(bytes, dtype, {4, 0, 2}));
    }
    checkpoint::write_safetensors(path, tensors, {{"format", "pt"}, {"note", "ä \"quoted\"\n"}});
    const auto file = checkpoint::SafetensorsFile::open(path);
    CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"note", "ä \"quoted\"\n"}});
    REQUIRE(file.tensors().size() == tensors.size());
    for (const auto& [name, expected] : tensors) {
        INFO(name);
        const TensorView& t = file.at(name);
        CHECK(t.dtype == expected.dtype);
        CHECK(t.shape == expected.shape);
        CHECK(t.file == path);
        CHECK(std::memcmp(t.data, expected.data, expected.bytes()) == 0);
        CHECK(reinterpret_cast<std::uintptr_t>(t.data) % dtype_bytes(t.dtype) == 0);
    }
}

TEST_CASE("views stay valid when the file object moves") {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/x.safetensors";
    const std::vector<float> values{1, 2, 3};
    checkpoint::write_safetensors(path, {{"x", view(values, DType::f32, {3})}});
    auto first = checkpoint::SafetensorsFile::open(path);
    const TensorView kept = first.at("x");
    const auto second = std::move(first);
    CHECK(kept.file == path);
    CHECK(kept.data == second.at("x").data);
    CHECK(std::memcmp(kept.data, values.data(), kept.bytes()) == 0);
}

TEST_CASE("files that the reference wrote are read") {
    const auto file = checkpoint::SafetensorsFile::open(test_data("/tiny/model.safetensors"));
    CHECK(file.tensors().size() == 115);
    CHECK(file.metadata().at("format") == "pt");
    const TensorView& t = file.at("model.visual.patch_embed.proj.weight");
    CHECK(t.shape == std::vector<std::int64_t>{72, 3, 2, 16, 16});
    CHECK(t.dtype == DType::f32);
    CHECK(file.find("nothing") == nullptr);
    CHECK_THAT(message_of<LoadError>([&] { file.at("nothing"); }),
               contains("model.safetensors") && contains("'nothing'") && contains("115"));
}

TEST_CASE("the streaming writer takes pieces of any size and checks their sum") {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/x.safetensors";
    const std::vector<checkpoint::TensorSpec> specs{{"narrow", DType::u8, {3}}, {"wide", DType::f64, {2}}};
    const std::array<std::byte, 16> bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    const auto write = [&](std::size_t missing, std::size_t extra) {
        checkpoint::write_safetensors(path, specs, [&](std::size_t i, const checkpoint::ByteSink& sink) {
            const std::size_t n = (i == 0 ? 3 : 16) - missing;
            for (std::size_t at = 0; at < n; ++at) sink(std::span(bytes).subspan(at, 1));
            sink(std::span(bytes).first(extra));
        });
    };
    write(0, 0);
    const auto file = checkpoint::SafetensorsFile::open(path);
    CHECK(std::memcmp(file.at("wide").data, bytes.data(), 16) == 0);
    CHECK(std::memcmp(file.at("narrow").data, bytes.data(), 3) == 0);
    CHECK_THAT(message_of<LoadError>([&] { write(1, 0); }),
               contains("'wide'") && contains("expected 16 bytes, found 15"));
    CHECK_THAT(message_of<LoadError>([&] { write(0, 1); }), contains("more from its producer"));
    CHECK(checkpoint::SafetensorsFile::open(path).tensors().size() == 2);  // a failed write leaves what was there
    CHECK_FALSE(std::filesystem::exists(path + ".partial"));
}

TEST_CASE("the writer refuses what no file can hold") {
    const TemporaryFolder folder;
    const std::string path = folder.path() + "/x.safetensors";
    const std::vector<float> values(4);
    const auto nothing = [](std::size_t, const checkpoint::ByteSink&) {};
    const auto error = [&](const std::vector<checkpoint::TensorSpec>& specs) {
        return message_of<LoadError>([&] { checkpoint::write_safetensors(path, specs, nothing); });
    };
    CHECK_THAT(error({{"a", DType::u8, {0}}, {"a", DType::u8, {0}}}), contains("unique names"));
    CHECK_THAT(error({{"__metadata__", DType::u8, {0}}}), contains("unique names"));
    CHECK_THAT(error({{"a", DType::u8, {-1}}}), contains("[-1]"));
    CHECK_THAT(error({{"a", DType::f64, {1LL << 62}}}), contains("fits 64 bits"));
    CHECK_THAT(error({{"\xff", DType::u8, {0}}}), contains("not UTF-8"));
    CHECK(std::filesystem::is_empty(folder.path()));
    CHECK_THAT(message_of<FileError>([&] {
                   checkpoint::write_safetensors(folder.path() + "/no/x", {{"a", view(values, DType::f32, {4})}});
               }),
               contains("cannot create"));
}

TEST_CASE("a full disk is an error") {
    if (!std::filesystem::exists("/dev/full")) return;
    const TemporaryFolder folder;
    std::filesystem::create_symlink("/dev/full", folder.path() + "/x.partial");
    const std::vector<float> values(1 << 16);
    CHECK_THAT(message_of<FileError>([&] {
                   checkpoint::write_safetensors(folder.path() + "/x", {{"a", view(values, DType::f32, {1 << 16})}});
               }),
               contains("cannot write"));
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a well-formed hand-written file opens") {
    CHECK(error_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8).empty());
    CHECK(
        error_of(
            R"({"b":{"data_offsets":[4,8],"shape":[1],"dtype":"F32"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   )",
            8)
            .empty());
    CHECK(
        error_of(
            R"({"z":{"dtype":"F32","shape":[0],"data_offsets":[4,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
            4)
            .empty());
    CHECK(error_of(R"({"a":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})", 0).empty());
    CHECK(error_of("{}", 0).empty());
    CHECK(error_of(R"({"__metadata__":{}})", 0).empty());
}

TEST_CASE("damaged lengths are refused") {
    CHECK_THAT(error_of_bytes(""), contains("found 0 bytes"));
    CHECK_THAT(error_of_bytes("1234567"), contains("found 7 bytes"));
    CHECK_THAT(error_of_bytes(std::string(8, '\0')), contains("no JSON object"));
    CHECK_THAT(error_of_bytes(std::string(8, '\xff')),
               contains("at most 100000000") && contains("18446744073709551615"));
    CHECK_THAT(error_of_bytes(std::string("\x00\xe1\xf5\x05\0\0\0\0{}", 10)), contains("truncated"));  // 100 000 000
    CHECK_THAT(error_of_bytes(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)), contains("100000001"));  // one more
    CHECK_THAT(error_of_bytes(std::string("\x03\0\0\0\0\0\0\0{}", 10)), contains("truncated"));
    CHECK_THAT(error_of_bytes("GGUF and so on"), contains("at most"));
    // Every way to cut a good file short.
    const std::string whole = safetensors_bytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
    REQUIRE(error_of_bytes(whole).empty());
    for (std::size_t n = 0; n < whole.size(); ++n) {
        INFO(n);
        CHECK_FALSE(error_of_bytes(whole.substr(0, n)).empty());
    }
    CHECK_THAT(error_of_bytes(whole + "x"), contains("cover 8 of the file's 9"));
}

TEST_CASE("damaged headers are refused by name") {
    const auto tensor = [](const std::string& fields) { return error_of("{\"a\":{" + fields + "}}", 8); };
    CHECK_THAT(error_of("{", 0), contains("not valid JSON"));
    CHECK_THAT(error_of("{\"\xff\":1}", 0), contains("not valid JSON"));
    CHECK_THAT(error_of("{} {}", 0), contains("not valid JSON"));
    CHECK_THAT(error_of("[]", 0), contains("no JSON object"));
    CHECK_THAT(error_of(R"({"a":1})", 0), contains("'a': expected an object, found 1"));
    CHECK_THAT(error_of(R"({"a":[1]})", 0), contains("found an array"));
    CHECK_THAT(error_of(R"({"a":null})", 0), contains("found null"));
    CHECK_THAT(error_of(R"({"__metadata__":{"a":1}})", 0), contains("__metadata__") && contains("strings alone"));
    CHECK_THAT(error_of(R"({"__metadata__":{"a":{}}})", 0), contains("strings alone"));
    CHECK_THAT(error_of(R"({"__metadata__":{"a":"x","a":"y"}})", 0), contains("twice"));
    CHECK_THAT(error_of(R"({"__metadata__":{},"__metadata__":{}})", 0), contains("twice"));
    CHECK_THAT(error_of("{\"" + std::string(2000, 'n') + "\":{}}", 0), contains("at most 1024 bytes"));
    CHECK_THAT(tensor(R"("shape":[2],"data_offsets":[0,8])"), contains("dtype") && contains("none"));
    CHECK_THAT(tensor(R"("dtype":"F32","data_offsets":[0,8])"), contains("shape") && contains("none"));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":[2])"), contains("data_offsets") && contains("none"));
    CHECK_THAT(tensor(R"("dtype":"F4","shape":[2],"data_offsets":[0,8])"),
               contains("known element type") && contains("\"F4\""));
    CHECK_THAT(tensor(R"("dtype":7,"shape":[2],"data_offsets":[0,8])"), contains("dtype") && contains("found 7"));
    CHECK_THAT(tensor(R"("dtype":["F32"],"shape":[2],"data_offsets":[0,8])"), contains("found an array"));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":2,"data_offsets":[0,8])"), contains("shape") && contains("found 2"));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":"2","data_offsets":[0,8])"), contains("the string \"2\""));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), contains("found -2"));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), contains("found 2.0"));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), contains("found an array"));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8])"),
               contains("9223372036854775808"));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8])"), contains("shape"));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8])"),
               contains("at most 8 numbers"));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"extra":1)"), contains("'extra'"));
    CHECK_THAT(tensor(R"("dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8])"), contains("twice"));
    CHECK_THAT(tensor(R"("dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8])"), contains("twice"));
    CHECK_THAT(
        error_of(
            R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
            8),
        contains("'a'") && contains("twice"));
}

TEST_CASE("a bomb of nested lists is refused at its second level") {
    CHECK_THAT(error_of("{\"a\":" + std::string(50'000'000, '['), 0), contains("found an array"));
    CHECK_THAT(error_of(R"({"a":{"dtype":"F32","shape":)" + std::string(1'000'000, '['), 0),
               contains("found an array"));
    std::string objects;
    for (int i = 0; i < 100'000; ++i) objects += "{\"dtype\":";
    CHECK_THAT(error_of("{\"a\":" + objects, 0), contains("found an object"));
}

TEST_CASE("offsets that overflow, overlap, leave holes or lie outside are refused") {
    const auto one = [](const std::string& shape, const std::string& offsets, std::size_t data) {
        return error_of(R"({"a":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}", data);
    };
    const auto two = [](const std::string& a, const std::string& b) {
        return error_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + a +
                            R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + b + "}}",
                        16);
    };
    REQUIRE(two("[0,8]", "[8,16]").empty());
    REQUIRE(two("[8,16]", "[0,8]").empty());
    CHECK_THAT(one("[2]", "[8,0]", 8), contains("a begin before the end") && contains("[8, 0]"));
    CHECK_THAT(one("[2]", "[0,4]", 4), contains("expected 8 bytes for F32 [2], found 4"));
    CHECK_THAT(one("[2]", "[0,9]", 9), contains("found 9"));
    CHECK_THAT(one("[2]", "[0,8]", 4), contains("within the file's 4 data bytes"));
    CHECK_THAT(one("[2]", "[4,12]", 12), contains("begins where the tensor before it ends, at 0"));
    CHECK_THAT(one("[2]", "[0]", 8), contains("two numbers"));
    CHECK_THAT(one("[2]", "[0,8,8]", 8), contains("two numbers"));
    CHECK_THAT(one("[2]", "[-8,0]", 8), contains("found -8"));
    CHECK_THAT(one("[4294967296,4294967296]", "[0,0]", 0), contains("less than 2^63 bytes"));
    CHECK_THAT(one("[4611686018427387904,4]", "[0,0]", 0), contains("less than 2^63 bytes"));
    CHECK_THAT(one("[4611686018427387904,4611686018427387904,0]", "[0,0]", 0), contains("less than 2^63 bytes"));
    CHECK_THAT(one("[0]", "[9223372036854775807,9223372036854775807]", 0), contains("within the file's 0 data bytes"));
    CHECK_THAT(two("[0,8]", "[4,12]"), contains("'b'") && contains("at 8") && contains("at 4"));
    CHECK_THAT(two("[0,8]", "[0,8]"), contains("begins where"));
    CHECK_THAT(two("[0,8]", "[12,20]"), contains("data"));
    CHECK_THAT(two("[0,8]", "[9223372036854775799,9223372036854775807]"), contains("within the file's 16 data bytes"));
    CHECK_THAT(error_of("{}", 4), contains("cover 0 of the file's 4"));
}

TEST_CASE("a missing file and a folder are file errors") {
    CHECK_THROWS_AS(checkpoint::SafetensorsFile::open("/nonexistent.safetensors"), FileError);
    CHECK_THROWS_AS(checkpoint::SafetensorsFile::open("/tmp"), FileError);
}
