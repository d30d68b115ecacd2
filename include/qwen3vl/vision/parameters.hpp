#pragma once
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/parameter.hpp>

/// The vision tower's parameters, their names in a Hugging Face checkpoint and their shapes. M is a weight matrix, V a
/// vector of floats.
namespace qwen3vl::inline QWEN3VL_ABI::vision {

/// Parameters of a block of the tower.
template <class M, class V>
struct BlockParameters {
    NormParameters<V> norm1, norm2;  ///< before attention; before the feed-forward layer
    M qkv{}, proj{}, fc1{}, fc2{};   ///< [3 hidden, hidden], [hidden, hidden], [ffn, hidden], [hidden, ffn]
    V qkv_bias{}, proj_bias{}, fc1_bias{}, fc2_bias{};  ///< [3 hidden], [hidden], [ffn], [hidden]
};

/// Joins merge x merge patches into one token of the decoder's width.
template <class M, class V>
struct MergerParameters {
    NormParameters<V> norm;    ///< over hidden channels in the main merger, over merged() in DeepStack's
    M fc1{}, fc2{};            ///< [merged, merged], [out, merged]
    V fc1_bias{}, fc2_bias{};  ///< [merged], [out]
};

/// Parameters of the tower.
template <class M, class V>
struct Parameters {
    M patch_embed{};                                ///< [hidden, patch_values], a Conv3d whose kernel is its stride
    V patch_embed_bias{};                           ///< [hidden]
    V positions{};                                  ///< [positions, hidden]
    std::vector<BlockParameters<M, V>> blocks;      ///< in order
    MergerParameters<M, V> merger;                  ///< behind the last block
    std::vector<MergerParameters<M, V>> deepstack;  ///< by level
};

/// Stage of a block. Stages group the tower's weights that are used together, counted in the order in which a picture
/// passes them: the patch embedding, the blocks, behind a block the DeepStack merger that reads it, and the main
/// merger.
constexpr int block_stage(const VisionDims& d, int block) {
    int stage = 1 + block;
    for (std::size_t level = 0; level < static_cast<std::size_t>(d.deepstack_count); ++level)
        stage += d.deepstack[level] < block;
    return stage;
}
/// Stage of the merger of a DeepStack level.
constexpr int deepstack_stage(const VisionDims& d, std::size_t level) { return block_stage(d, d.deepstack[level]) + 1; }
/// Stage of the main merger, the last one.
constexpr int merger_stage(const VisionDims& d) { return 1 + d.depth + d.deepstack_count; }
/// Stages of the tower.
constexpr int stage_count(const VisionDims& d) { return merger_stage(d) + 1; }

/// Placement of a matrix that is used in a stage of the tower.
struct InStage {
    int stage = 0;  ///< as block_stage() counts
};

/// f(name, shape, vector) or f(name, shape, matrix, placement) for every parameter of the tower, in the order of the
/// forward pass. P is `Parameters<…>`, const or not.
template <bool NormBias, class P, class F>
void visit(const VisionDims& d, const std::string& root, P& p, F&& f) {
    const std::int64_t h = d.hidden;
    const auto dense = [&](int stage, const std::string& name, std::int64_t out, std::int64_t in, auto& w, auto& bias) {
        f(name + ".weight", Shape{out, in}, w, InStage{stage});
        f(name + ".bias", Shape{out}, bias);
    };
    const auto merger = [&](int stage, const std::string& name, std::int64_t norm_channels, auto& m) {
        visit_norm<NormBias>(m.norm, name + "norm", norm_channels, f);
        dense(stage, name + "linear_fc1", d.merged(), d.merged(), m.fc1, m.fc1_bias);
        dense(stage, name + "linear_fc2", d.out, d.merged(), m.fc2, m.fc2_bias);
    };
    f(root + "patch_embed.proj.weight", Shape{h, d.channels, d.temporal_patch, d.patch, d.patch}, p.patch_embed,
      InStage{0});
    f(root + "patch_embed.proj.bias", Shape{h}, p.patch_embed_bias);
    f(root + "pos_embed.weight", Shape{d.positions, h}, p.positions);
    for (std::size_t i = 0; i < p.blocks.size(); ++i) {
        auto& b = p.blocks[i];
        const int stage = block_stage(d, static_cast<int>(i));
        const std::string at = root + "blocks." + std::to_string(i) + ".";
        visit_norm<NormBias>(b.norm1, at + "norm1", h, f);
        dense(stage, at + "attn.qkv", 3 * h, h, b.qkv, b.qkv_bias);
        dense(stage, at + "attn.proj", h, h, b.proj, b.proj_bias);
        visit_norm<NormBias>(b.norm2, at + "norm2", h, f);
        dense(stage, at + "mlp.linear_fc1", d.ffn, h, b.fc1, b.fc1_bias);
        dense(stage, at + "mlp.linear_fc2", h, d.ffn, b.fc2, b.fc2_bias);
    }
    merger(merger_stage(d), root + "merger.", h, p.merger);
    for (std::size_t i = 0; i < p.deepstack.size(); ++i)
        merger(deepstack_stage(d, i), root + "deepstack_merger_list." + std::to_string(i) + ".", d.merged(),
               p.deepstack[i]);
}

}  // namespace qwen3vl::vision
