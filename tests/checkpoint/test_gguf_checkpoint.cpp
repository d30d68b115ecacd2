#include <cstring>
#include <filesystem>
#include <qwen3vl/checkpoint/checkpoint.hpp>
#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/weights/values.hpp>
#include "catch.hpp"
#include "gguf_bytes.hpp"
#include "small_llama.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl;

namespace gguf_checkpoint_test {

using Small = qwen3vl_test::SmallLlama;
const std::string folder = test_data("/gguf/"), shapes = folder + "shapes/shapes-bf16.gguf",
                  mmproj = folder + "shapes/mmproj-shapes-bf16.gguf";

std::vector<float> values_of(const TensorView& t) {
    std::vector<float> values(static_cast<std::size_t>(t.elements()));
    weights::read_values(t, 0, t.elements(), values.data());
    return values;
}

struct OtherTower : models::Shapes {
    static constexpr VisionDims vision = [] {
        VisionDims v = models::Shapes::vision;
        v.depth = 6;
        return v;
    }();
};
struct OtherDeepStack : models::Shapes {
    static constexpr VisionDims vision = [] {
        VisionDims v = models::Shapes::vision;
        v.deepstack = {0, 2, 3};
        return v;
    }();
};

/// The metadata of a model that Small describes, but for what a test adds.
GgufBytes small_metadata() {
    GgufBytes b;
    b.string("general.architecture", "llama")
        .u32("llama.block_count", 2)
        .u32("llama.context_length", 2048)
        .u32("llama.embedding_length", 256);
    b.u32("llama.feed_forward_length", 512)
        .u32("llama.attention.head_count", 8)
        .u32("llama.attention.head_count_kv", 2);
    b.f32("llama.rope.freq_base", 1e5f)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5f)
        .u32("llama.vocab_size", 464);
    return b;
}

/// The first difference from Small, or the error of opening.
std::string error_of(const GgufBytes& bytes) {
    const TemporaryFolder temporary;
    const std::string path = temporary.write("x.gguf", bytes.file(1 << 16));
    return message_of<Error>([&] { checkpoint::check_config<Small>(checkpoint::read_config(path)); });
}

template <Dims D>
std::string difference(const std::string& path) {
    return message_of<ConfigError>([&] { checkpoint::check_config<D>(checkpoint::read_config(path)); });
}

TEST_CASE("a GGUF model with its vision part holds the numbers of the folder that it was made from") {
    auto gguf = checkpoint::Checkpoint::open(shapes);
    auto reference = checkpoint::Checkpoint::open(test_models("/shapes"));
    checkpoint::check_config<models::Shapes>(gguf.config());
    CHECK(gguf.files() == std::vector<std::string>{shapes, mmproj});
    CHECK(gguf.folder() == shapes);
    for_each_parameter<models::Shapes>([&](const std::string& name, const Shape& shape) {
        CAPTURE(name);
        CHECK(values_of(gguf.take(name, shape)) == values_of(reference.take(name, shape)));
    });
    CHECK(gguf.unused().empty());
}

TEST_CASE("rows of q and k of architecture llama are put in the order of halves") {
    const auto file = checkpoint::GgufFile::open(folder + "q4_k_m.gguf");
    auto checkpoint = checkpoint::Checkpoint::open(folder + "q4_k_m.gguf");
    checkpoint::check_config<Small>(checkpoint.config());
    for (const auto& [name, heads] : {std::pair{"attn_q", 8}, {"attn_k", 2}}) {
        const TensorView& stored = file.at(std::string("blk.1.") + name + ".weight");
        const TensorView ordered =
            checkpoint.take(std::string("model.layers.1.self_attn.") + name[5] + "_proj.weight", stored.shape);
        REQUIRE(ordered.dtype == stored.dtype);
        const std::size_t row = stored.bytes() / static_cast<std::size_t>(stored.shape[0]);
        const auto same = [&](int head, int ours, int theirs) {
            const auto at = [&](int r) { return static_cast<std::size_t>(head * 32 + r) * row; };
            return std::memcmp(ordered.data + at(ours), stored.data + at(theirs), row) == 0;
        };
        for (int h = 0; h < heads; ++h) {
            for (int i = 0; i < 16; ++i) {
                CHECK(same(h, i, 2 * i));
                CHECK(same(h, i + 16, 2 * i + 1));
            }
        }
    }
    const TensorView& v = file.at("blk.1.attn_v.weight");
    CHECK(std::memcmp(checkpoint.take("model.layers.1.self_attn.v_proj.weight", v.shape).data, v.data, v.bytes()) == 0);
}

TEST_CASE("errors of tensors have the names of the GGUF file") {
    auto checkpoint = checkpoint::Checkpoint::open(folder + "q4_0.gguf");
    const auto error = [&](const std::string& name, const Shape& shape) {
        return message_of<LoadError>([&] { checkpoint.take(name, shape); });
    };
    CHECK_THAT(error("model.layers.1.mlp.up_proj.weight", {512, 255}),
               contains("q4_0.gguf: tensor 'blk.1.ffn_up.weight': expected F32, F16, BF16 or blocks of shape [512, "
                        "255], found Q4_0 of shape [512, 256]"));
    CHECK_THAT(error("model.layers.2.mlp.up_proj.weight", {512, 256}),
               contains("tensor 'blk.2.ffn_up.weight'") && contains("found no such tensor"));
    CHECK_THAT(error("lm_head.weight", {464, 256}),
               contains("tensor 'output.weight'") && contains("found no such tensor"));
    CHECK(checkpoint.unused().size() == 20);
    auto vision = checkpoint::Checkpoint::open(shapes);
    CHECK_THAT(message_of<LoadError>([&] {
                   vision.take("model.visual.deepstack_merger_list.2.linear_fc1.weight", {1, 1});
               }),
               contains("mmproj-shapes-bf16.gguf: tensor 'v.deepstack.3.fc1.weight'"));
}

TEST_CASE("a model of other dims is refused by file and key") {
    CHECK(difference<Small>(folder + "q8_0.gguf").empty());
    CHECK_THAT(difference<models::SmolLM2_135M>(folder + "q8_0.gguf"),
               contains("q8_0.gguf: field 'llama.block_count': expected 30, found 2"));
    CHECK_THAT(difference<models::Shapes>(folder + "q8_0.gguf"),
               contains("'general.architecture': expected \"qwen3_vl\", found \"llama\""));
    CHECK_THAT(difference<models::Tiny>(shapes),
               contains("shapes-bf16.gguf: field 'qwen3vl.block_count': expected 4, found 6"));
    CHECK_THAT(difference<OtherTower>(shapes),
               contains("mmproj-shapes-bf16.gguf: field 'clip.vision.block_count': expected 6, found 5"));
    CHECK_THAT(difference<OtherDeepStack>(shapes),
               contains("field 'clip.vision.is_deepstack_layers': expected [0, 2, 3], found [1, 2, 3]"));
}

TEST_CASE("metadata that changes what a model computes is checked, each key by name") {
    REQUIRE(error_of(small_metadata()).empty());
    CHECK_THAT(error_of(GgufBytes()),
               contains("x.gguf: field 'general.architecture': expected qwen3vl, qwen3 or llama, found nothing"));
    CHECK_THAT(error_of(GgufBytes().string("general.architecture", "gemma3")),
               contains("found 'gemma3', which is not supported"));
    CHECK_THAT(error_of(GgufBytes().u32("general.architecture", 1)),
               contains("'general.architecture': expected a string, found uint32"));
    CHECK_THAT(error_of(GgufBytes().string("general.architecture", "llama")),
               contains("field 'llama.block_count': expected 2, found nothing"));
    CHECK_THAT(error_of(small_metadata().u32("split.count", 3)),
               contains("x.gguf: field 'split.count': expected 1, or the name"));
    CHECK_THAT(error_of(small_metadata().u32("llama.expert_count", 8)),
               contains("field 'llama.expert_count': expected 0, found 8: a mixture of experts"));
    CHECK_THAT(error_of(small_metadata().u32("llama.attention.key_length", 64)),
               contains("field 'llama.attention.key_length': expected 32, found 64"));
    CHECK_THAT(error_of(small_metadata().u32("llama.attention.value_length", 64)),
               contains("field 'llama.attention.value_length': expected 32"));
    CHECK_THAT(error_of(small_metadata().u32("llama.rope.dimension_count", 16)),
               contains("field 'llama.rope.dimension_count': expected 32, all of a head, found 16"));
    CHECK_THAT(error_of(small_metadata().string("llama.rope.scaling.type", "yarn")),
               contains("field 'llama.rope.scaling.type': expected \"default\", found \"yarn\""));
    CHECK(error_of(small_metadata().string("llama.rope.scaling.type", "none")).empty());
    CHECK_THAT(error_of(small_metadata().f32("llama.rope.scale_linear", 2.0f)),
               contains("field 'llama.rope.scale_linear': expected 1, found 2.0"));
    CHECK_THAT(error_of(small_metadata().i32s("llama.rope.dimension_sections", {6, 5, 5, 1})),
               contains("expected three sections and a 0"));
    CHECK_THAT(error_of(small_metadata().i32s("llama.rope.dimension_sections", {6, 5, 5, 0})),
               contains("'llama.rope.dimension_sections'") && contains("[6, 5, 5]"));
    CHECK_THAT(error_of(small_metadata().u32("llama.attention.sliding_window", 512)),
               contains("field 'llama.attention.sliding_window': expected false"));
    CHECK_THAT(error_of(small_metadata().stored("rope_freqs.weight", {16}, 0, std::string(64, '\0'))),
               contains("tensor 'rope_freqs.weight'"));
    CHECK_THAT(error_of(small_metadata().stored("blk.0.attn_q.bias", {256}, 0, std::string(1024, '\0'))),
               contains("field 'blk.0.attn_q.bias': expected false, found true"));
    CHECK_THAT(error_of(small_metadata().stored("output.weight", {32}, 8, std::string(34, '\0'))),
               contains("field 'output.weight': expected true, found false"));
    CHECK_THAT(error_of(small_metadata().stored("blk.0.attn_q.weight", {32}, 8, std::string(34, '\0'))),
               contains("tensor 'blk.0.attn_q.weight': expected a matrix of an even number of rows for each of the 8 "
                        "heads, found shape [32]"));
    CHECK_THAT(error_of(small_metadata().stored("blk.0.attn_k.weight", {32, 6}, 8, std::string(204, '\0'))),
               contains("each of the 2 heads, found shape [6, 32]"));
    GgufBytes no_heads;
    no_heads.string("general.architecture", "llama")
        .u32("llama.attention.head_count", 0)
        .u32("llama.embedding_length", 256);
    CHECK_THAT(error_of(no_heads.stored("blk.0.attn_q.weight", {32, 6}, 8, std::string(204, '\0'))),
               contains("each of the 0 heads"));
}

TEST_CASE("the vision part is the one file mmproj*.gguf beside the model, or the one named") {
    const TemporaryFolder temporary;
    const auto error = [](const std::string& path, const std::string& vision = {}) {
        return message_of<Error>([&] { checkpoint::Checkpoint::open(path, vision); });
    };
    std::filesystem::copy_file(shapes, temporary.path() + "/m.gguf");
    const std::string model = temporary.path() + "/m.gguf";
    CHECK_THAT(error(model), contains("m.gguf: expected one file mmproj*.gguf") && contains("found none"));
    CHECK(error(model, mmproj).empty());
    std::filesystem::copy_file(mmproj, temporary.path() + "/mmproj-a.gguf");
    CHECK(error(model).empty());
    std::filesystem::copy_file(mmproj, temporary.path() + "/mmproj-b.gguf");
    CHECK_THAT(error(model), contains("found mmproj-a.gguf, mmproj-b.gguf"));
    CHECK(error(model, temporary.path() + "/mmproj-b.gguf").empty());
    CHECK_THAT(error(model, temporary.path() + "/nothing.gguf"), contains("nothing.gguf: cannot open"));
    CHECK_THAT(error(mmproj), contains("'general.architecture': expected a model, found a vision part"));
    CHECK_THAT(error(model, model), contains("'general.architecture': expected clip, a vision part, found qwen3vl"));
    CHECK_THAT(error(folder + "q4_0.gguf", mmproj), contains("q4_0.gguf is a text-only model"));
    CHECK_THAT(error(test_models("/shapes"), mmproj), contains("belongs to a model in GGUF"));
    CHECK_THAT(error(temporary.path() + "/nothing.gguf"), contains("nothing.gguf: cannot open"));
}

TEST_CASE("a damaged vision part is refused by name") {
    const TemporaryFolder temporary;
    const auto vision = [] {
        GgufBytes b;
        b.string("general.architecture", "clip").string("clip.projector_type", "qwen3vl_merger");
        return b.array("clip.vision.is_deepstack_layers", checkpoint::GgufType::boolean, 4, std::string("\0\1\1\1", 4));
    };
    const auto error = [&](const GgufBytes& bytes) {
        const std::string path = temporary.write("v.gguf", bytes.file(4096));
        return message_of<Error>(
            [&] { checkpoint::check_config<models::Shapes>(checkpoint::read_config(shapes, path)); });
    };
    CHECK_THAT(error(vision()), contains("v.gguf: field 'clip.vision.block_count': expected 5, found nothing"));
    CHECK_THAT(error(GgufBytes().string("general.architecture", "clip").string("clip.projector_type", "mlp")),
               contains("'clip.projector_type': expected qwen3vl_merger, found mlp"));
    CHECK_THAT(
        error(GgufBytes().string("general.architecture", "clip").string("clip.projector_type", "qwen3vl_merger")),
        contains("shapes-bf16.gguf: field 'qwen3vl.n_deepstack_layers': expected 0 as in") && contains("found 3"));
    CHECK_THAT(error(vision().f32("clip.vision.attention.layer_norm_epsilon", 1e-5f)),
               contains("'clip.vision.attention.layer_norm_epsilon': expected 1e-6, found 1e-05"));
    const std::string slice(16 * 4, '\0');
    CHECK_THAT(error(vision()
                         .stored("v.patch_embd.weight", {2, 2, 2, 2}, 0, slice)
                         .stored("v.patch_embd.weight.1", {2, 2, 4}, 0, slice)),
               contains("tensor 'v.patch_embd.weight.1': expected F32 of shape [2, 2, 2, 2], as the first slice, found "
                        "F32 of shape [4, 2, 2]"));
    CHECK_THAT(
        error(vision().stored("v.patch_embd.weight", {16}, 0, slice).stored("v.patch_embd.weight.1", {16}, 0, slice)),
        contains("expected a first slice of numbers"));
    CHECK_THAT(error(vision().stored("token_embd.weight", {16}, 0, slice)),
               contains("tensor 'token_embd.weight': expected a tensor that no other stands for"));
}

}  // namespace gguf_checkpoint_test
