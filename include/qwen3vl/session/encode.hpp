#pragma once
#include <qwen3vl/core/progress.hpp>
#include <qwen3vl/fusion/stand_in.hpp>
#include <qwen3vl/session/workspace.hpp>
#include <qwen3vl/token_reduction/tokens.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

namespace detail {
/// Throws ImageError where a token-reduction policy left other features than it says.
template <class Reduction>
void require_reduced(const VisualFeatures& f) {
    const int rows = f.grid.h / f.merge, columns = f.grid.w / f.merge;
    const std::int64_t tokens = token_reduction::tokens_of<Reduction>(rows, columns) * f.grid.t;
    bool fits = tokens > 0 && f.tokens() == tokens && std::ssize(f.embedding) == tokens * f.width;
    for (const auto& level : f.deepstack) fits = fits && std::ssize(level) == tokens * f.width;
    for (const auto& [r, c] : f.places) fits = fits && r >= 0 && r < rows && c >= 0 && c < columns;
    if (!fits)
        throw ImageError(std::string("token_reduction policy ") + Reduction::name + ": tokens(" + std::to_string(rows) +
                         ", " + std::to_string(columns) + ") tells of " + std::to_string(tokens) +
                         " tokens, each with a place and features; reduce() left " + std::to_string(f.tokens()));
}
}  // namespace detail

/// Runs a picture or clip through the vision tower on the workspace's threads; its activations take memory of their
/// own, which MemoryPlan counts for SessionOptions::largest_picture. The result belongs to no sequence and may be used
/// again. Throws ImageError, OutOfMemory, Cancelled, FileError where streamed weights fail.
template <class M>
requires(VisionLanguageDims<typename M::dims> &&
         !M::refused) std::shared_ptr<const VisualFeatures> encode(Workspace<M>& workspace, const Patches& patches,
                                                                   const ProgressCallback& progress = {},
                                                                   const TensorHook& hook = {}) {
    using P = typename M::policies;
    using Slots = detail::TowerSlots<P>;
    using Arch = typename P::Arch;
    constexpr VisionDims d = M::dims::vision;
    const Grid& g = patches.grid;
    constexpr int merge = d.merge;
    if (g.t < 1 || g.h < merge || g.w < merge || g.h % merge || g.w % merge ||
        static_cast<std::int64_t>(patches.values.size()) != g.patches() * d.patch_values())
        throw ImageError("patches: a grid of " + std::to_string(g.t) + " x " + std::to_string(g.h) + " x " +
                         std::to_string(g.w) + " with " + std::to_string(patches.values.size()) +
                         " values; rows and columns must be multiples of " + std::to_string(merge) +
                         ", and each patch has " + std::to_string(d.patch_values()) + " values");
    auto& team = workspace.team();
    vision::Buffers<typename Workspace<M>::Ops::Space> buffers(M::dims::vision, g);
    const auto memory = memory::allocate<typename P::Memory>(
        nullptr, [&](auto&& f) { buffers.template visit<Arch, Slots>(team.threads(), f); });
    const M& model = workspace.model();
    auto holder = model.stage_guards();
    using Ops = typename Workspace<M>::Ops;
    const Ops ops(team, buffers.rows, buffers.row_floats());
    vision::Encoder<Slots, Ops, decltype(holder)> encoder(M::dims::vision, model.parameters().vision, g, ops, buffers,
                                                          hook, holder);
    VisualFeatures features = encoder.run(patches.values.data(), progress);
    using Weights = typename Slots::Weights;
    constexpr ModelDims dims = model_dims<typename M::dims>();
    P::Alignment::template align<Weights>(ops, dims, model.parameters().alignment, features);
    P::Text::TokenReduction::template reduce<Weights>(ops, dims, model.parameters().token_reduction, features);
    detail::require_reduced<typename P::Text::TokenReduction>(features);
    features.stand_in = fusion::stand_in_of<typename P::Fusion>();
    return std::make_shared<const VisualFeatures>(std::move(features));
}

/// Stands in for the tower of a model that was refused.
template <class M>
requires M::refused std::shared_ptr<const VisualFeatures> encode(Workspace<M>&, const Patches&,
                                                                 const ProgressCallback& = {}, const TensorHook& = {});

}  // namespace qwen3vl
