#pragma once
#include <qwen3vl/memory/plan.hpp>
#include <qwen3vl/model/stream_plan.hpp>
#include <utility>

namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// Bytes of the window of streamed weights, whatever they are in the file.
template <class Team>
std::int64_t window_bytes(const Manifest<Team>& manifest, const StreamExtents& extents) {
    if (extents.window_layers == 0) return 0;
    const StreamPlan plan = stream_plan(manifest, extents);
    return extents.window_layers * plan.slot_bytes() + plan.panel_bytes();
}

/// Bytes of a model's weights part by part, for a checkpoint whose tensors have this dtype.
template <class Team>
[[gnu::noinline]] MemoryPlan weight_plan(const Manifest<Team>& manifest, const StreamExtents& extents,
                                         DType checkpoint) {
    MemoryPlan::Part embedding{"weights: embedding and head", 0, true}, decoder{"weights: decoder", 0, true},
        tower{"weights: vision tower", 0, true},
        window{"weights: window of the streamed", window_bytes(manifest, extents), false},
        vectors{"norms and biases", 0, false}, policies{"parameters of policies", 0, false};
    for (const auto& p : manifest.parameters) {
        auto& part = p.of_policy                              ? policies
                     : !p.format                              ? vectors
                     : p.role.pool == memory::Pool::vision    ? tower
                     : p.role.pool == memory::Pool::embedding ? embedding
                                                              : decoder;
        if (p.format && p.format->streamed()) continue;
        part.bytes += p.bytes();
        part.mapped = part.mapped && p.format && p.format->is_mapped(checkpoint);
    }
    MemoryPlan plan;
    for (auto* part : {&embedding, &decoder, &tower, &window, &vectors, &policies})
        if (part->bytes > 0) plan.parts.push_back(std::move(*part));
    return plan;
}

}  // namespace qwen3vl::detail
