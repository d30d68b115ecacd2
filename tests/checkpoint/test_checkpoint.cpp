#include <cstring>
#include <qwen3vl/checkpoint/checkpoint.hpp>
#include <qwen3vl/checkpoint/safetensors_writer.hpp>
#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/testing/models.hpp>
#include "catch.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl;

namespace {
constexpr const char* config = R"({"model_type": "llama"})";

std::string open_error(const std::string& folder) {
    return message_of<Error>([&] { checkpoint::Checkpoint::open(folder); });
}

/// A shard with small F32 tensors of these names.
void write_shard(const TemporaryFolder& folder, const std::string& file, const std::vector<std::string>& names,
                 DType dtype = DType::f32) {
    static const std::vector<float> values{1, 2, 3, 4};
    std::vector<std::pair<std::string, TensorView>> tensors;
    for (const auto& name : names)
        tensors.emplace_back(name, TensorView{dtype, {2, 2}, reinterpret_cast<const std::byte*>(values.data()), ""});
    checkpoint::write_safetensors(folder.path() + "/" + file, tensors);
}

/// The error that a folder with shards a (x, y) and b (z) gives under this index; empty where it opens.
std::string index_error(std::string_view index) {
    const TemporaryFolder folder;
    folder.write("config.json", config);
    write_shard(folder, "a.safetensors", {"x", "y"});
    write_shard(folder, "b.safetensors", {"z"});
    folder.write("model.safetensors.index.json", index);
    return open_error(folder.path());
}

std::string config_error(std::string_view text) {
    const TemporaryFolder folder;
    folder.write("config.json", text);
    write_shard(folder, "model.safetensors", {"x"});
    return open_error(folder.path());
}
}  // namespace

TEST_CASE("a loader takes each parameter once and learns what nobody took") {
    auto checkpoint = checkpoint::Checkpoint::open(test_data("/tiny"));
    CHECK(checkpoint.folder() == test_data("/tiny"));
    CHECK(checkpoint.config().model_type() == "qwen3_vl");
    CHECK(checkpoint.unused().size() == 115);
    std::int64_t parameters = 0;
    for_each_parameter<models::Tiny>(
        [&](const std::string& name, const Shape& shape) { parameters += checkpoint.take(name, shape).elements(); });
    CHECK(checkpoint.unused().empty());
    CHECK(parameters == parameter_count<models::Tiny>());
}

TEST_CASE("taking a tensor that is missing, misshapen or of another type is an error that names it") {
    const TemporaryFolder folder;
    folder.write("config.json", config);
    static const std::vector<float> values(4);
    const auto* data = reinterpret_cast<const std::byte*>(values.data());
    checkpoint::write_safetensors(folder.path() + "/model.safetensors", {{"bf16", {DType::bf16, {2, 2}, data, ""}},
                                                                         {"f16", {DType::f16, {4}, data, ""}},
                                                                         {"ints", {DType::i32, {4}, data, ""}}});
    auto checkpoint = checkpoint::Checkpoint::open(folder.path());
    const auto error = [&](const std::string& name, const Shape& shape) {
        return message_of<LoadError>([&] { checkpoint.take(name, shape); });
    };
    CHECK_THAT(
        error("nothing", {4}),
        contains("model.safetensors: tensor 'nothing': expected F32, F16 or BF16 of shape [4], found no such tensor"));
    CHECK_THAT(error("bf16", {4}),
               contains("tensor 'bf16': expected F32, F16 or BF16 of shape [4], found BF16 of shape [2, 2]"));
    CHECK_THAT(error("ints", {4}),
               contains("tensor 'ints': expected F32, F16 or BF16 of shape [4], found I32 of shape [4]"));
    CHECK(checkpoint.unused() == std::vector<std::string>{"bf16", "f16", "ints"});
    CHECK(checkpoint.take("f16", {4}).dtype == DType::f16);
    CHECK(checkpoint.unused() == std::vector<std::string>{"bf16", "ints"});
    CHECK(checkpoint.find("ints") != nullptr);
    CHECK(checkpoint.find("nothing") == nullptr);
    CHECK(checkpoint.unused().size() == 2);
}

TEST_CASE("a sharded checkpoint is the sum of its shards") {
    const TemporaryFolder folder;
    folder.write("config.json", config);
    write_shard(folder, "model-00001-of-00002.safetensors", {"x", "y"});
    write_shard(folder, "model-00002-of-00002.safetensors", {"z"});
    folder.write("model.safetensors.index.json",
                 R"({"metadata": {"total_size": 48}, "weight_map": {"x": "model-00001-of-00002.safetensors",
        "y": "model-00001-of-00002.safetensors", "z": "model-00002-of-00002.safetensors"}})");
    auto opened = checkpoint::Checkpoint::open(folder.path());
    auto checkpoint = std::move(opened);
    CHECK(checkpoint.files().size() == 2);
    CHECK(checkpoint.tensors().size() == 3);
    const float expected[] = {1, 2, 3, 4};
    for (const char* name : {"x", "y", "z"})
        CHECK(std::memcmp(checkpoint.take(name, {2, 2}).data, expected, sizeof expected) == 0);
    CHECK(std::string(checkpoint.find("z")->file) == folder.path() + "/model-00002-of-00002.safetensors");
    CHECK(checkpoint.unused().empty());
    CHECK_THAT(message_of<LoadError>([&] { checkpoint.take("w", {1}); }),
               contains("model.safetensors.index.json: tensor 'w'"));
}

TEST_CASE("an index that disagrees with its shards is refused") {
    const std::string x = R"("x":"a.safetensors",)", y = R"("y":"a.safetensors",)", z = R"("z":"b.safetensors")";
    const auto map = [](const std::string& entries) { return "{\"weight_map\":{" + entries + "}}"; };
    REQUIRE(index_error(map(x + y + z)).empty());
    CHECK_THAT(index_error("{}"), contains("'weight_map': expected an object, found nothing"));
    CHECK_THAT(index_error("[]"), contains("expected an object"));
    CHECK_THAT(index_error("{"), contains("not valid JSON"));
    CHECK_THAT(index_error(R"({"weight_map":[]})"), contains("'weight_map': expected an object"));
    CHECK_THAT(index_error(map(x + y + R"("z":3)")), contains("'weight_map.z': expected a string, found 3"));
    CHECK_THAT(index_error(map(x + y + z + R"(,"w":"a.safetensors")")), contains("a.safetensors: tensor 'w'"));
    CHECK_THAT(index_error(map(x + y + R"("z":"c.safetensors")")), contains("c.safetensors: cannot open"));
    CHECK_THAT(index_error(map(x + z)), contains("a.safetensors: tensor 'y': expected an entry in"));
    CHECK_THAT(index_error(map(x + y + R"("x":"b.safetensors",)" + z)), contains("twice"));
    for (const char* name : {"../a.safetensors", "/etc/a.safetensors", "sub/a.safetensors", "", "..", ".", "a.bin",
                             "a.safetensors\\u0000.safetensors"}) {
        INFO(name);
        CHECK_THAT(index_error(map(x + y + R"("z":")" + name + "\"")),
                   contains("the name of a .safetensors file in the same folder"));
    }
}

TEST_CASE("a tensor in two shards is refused") {
    const TemporaryFolder folder;
    folder.write("config.json", config);
    write_shard(folder, "a.safetensors", {"x", "y"});
    write_shard(folder, "b.safetensors", {"x", "z"});
    folder.write("model.safetensors.index.json",
                 R"({"weight_map":{"x":"a.safetensors","y":"a.safetensors","z":"b.safetensors"}})");
    CHECK_THAT(open_error(folder.path()), contains("tensor 'x': expected each tensor in one shard"));
}

TEST_CASE("quantised checkpoints are recognised and refused by name") {
    const auto method = [](const std::string& name) {
        return config_error(R"({"model_type":"qwen3_vl","quantization_config":{"quant_method":")" + name + "\"}}");
    };
    CHECK_THAT(method("fp8"), contains("quantization_config") && contains("quantised with FP8") &&
                                  contains("use the unquantised checkpoint"));
    CHECK_THAT(method("awq"), contains("quantised with AWQ"));
    CHECK_THAT(method("gptq"), contains("quantised with GPTQ"));
    CHECK_THAT(method("compressed-tensors"), contains("quantised with compressed-tensors"));
    CHECK_THAT(config_error(R"({"quantization_config":{}})"), contains("an unnamed method"));
    CHECK_THAT(config_error(R"({"text_config":{"quantization_config":{"quant_method":"awq"}}})"),
               contains("'text_config.quantization_config'") && contains("AWQ"));
    CHECK_THAT(config_error(R"({"quantization_config":3})"), contains("'quantization_config': expected an object"));
    CHECK(config_error(R"({"quantization_config":null})").empty());

    const auto tensor = [](const std::string& name, DType dtype) {
        const TemporaryFolder folder;
        folder.write("config.json", config);
        write_shard(folder, "model.safetensors", {name}, dtype);
        return open_error(folder.path());
    };
    CHECK_THAT(tensor("model.layers.0.mlp.up_proj.qweight", DType::i32),
               contains("qweight") && contains("AWQ or GPTQ"));
    CHECK_THAT(tensor("model.layers.0.mlp.up_proj.weight", DType::f8_e4m3), contains("FP8"));
    CHECK_THAT(tensor("model.layers.0.mlp.up_proj.weight_scale_inv", DType::f32), contains("FP8"));
    CHECK(tensor("model.layers.0.mlp.up_proj.weight", DType::f32).empty());
}

TEST_CASE("what is no checkpoint folder is refused with what is expected") {
    const TemporaryFolder folder;
    CHECK_THAT(open_error(folder.path() + "/missing"),
               contains("expected a Hugging Face checkpoint folder") && contains("nothing there"));
    CHECK_THAT(open_error(folder.path()), contains("no config.json"));
    CHECK_THAT(open_error(folder.write("model.gguf", "GGUF")), contains("model.gguf: truncated"));
    CHECK_THAT(open_error(folder.write("x.safetensors", "x")),
               contains("a file of such a folder; name the folder: " + folder.path()));
    CHECK_THAT(open_error(folder.write("x.txt", "x")),
               contains("x.txt: expected") && contains("or a .gguf file, found another file"));
    folder.write("config.json", config);
    CHECK_THAT(open_error(folder.path()), contains("expected model.safetensors or model.safetensors.index.json") &&
                                              contains("it holds GGUF files"));
    std::filesystem::remove(folder.path() + "/model.gguf");
    folder.write("pytorch_model.bin", "x");
    CHECK_THAT(open_error(folder.path()), contains("it holds PyTorch files"));
    folder.write("model.safetensors", "damaged");
    CHECK_THAT(open_error(folder.path()), contains("model.safetensors: expected a safetensors file"));
    folder.write("config.json", "{");
    CHECK_THAT(open_error(folder.path()), contains("config.json: not valid JSON"));
}

TEST_CASE("a path to a file of a checkpoint folder is answered with the folder") {
    const TemporaryFolder folder;
    const std::string config_json = folder.write("config.json", config),
                      weights = folder.write("model.safetensors", "x");
    for (const auto& path : {config_json, weights, folder.write("tokenizer.json", "{}")}) {
        const std::string answer = path + ": expected a Hugging Face checkpoint folder";
        CHECK_THAT(message_of<FileError>([&] { checkpoint::Checkpoint::open(path); }),
                   contains(answer) && contains("name the folder: " + folder.path()));
        CHECK_THAT(message_of<FileError>([&] { checkpoint::read_config(path); }),
                   contains(answer) && contains("name the folder: " + folder.path()));
    }
    CHECK_THAT(message_of<FileError>([&] { checkpoint::read_config(folder.path() + "/missing"); }),
               contains("nothing there"));
}
