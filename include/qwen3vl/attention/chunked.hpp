#pragma once
#include <qwen3vl/attention/materialised.hpp>
#include <qwen3vl/core/tokens.hpp>
#include <qwen3vl/mask/causal.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::attention {

/// Memory-efficient attention (Rabe & Staats, 2021, "Self-attention does not need O(n^2) memory", section 3). A block
/// of queries takes the keys chunk by chunk of `C` tokens: a chunk's scores are held at once, and its sums are joined
/// to those before it. Exact. Scratch is bounded by the chunk.
///     attention::Chunked<mask::Causal, Tokens{1024}>
template <class Mask = mask::Causal, Tokens C = Tokens{1024}>
struct Chunked {
    static_assert(C.n > 0 && C.n % kv_cache::tile_keys == 0,
                  "qwen3vl: slot attention: Chunked needs a chunk of a multiple of 64 Tokens");
    static constexpr const char* name = "Chunked";
    using mask = Mask;
    static constexpr std::int64_t segment_keys = C.n;

    static std::int64_t scratch_floats(std::int64_t rows, std::int64_t channels, std::int64_t /*keys*/) {
        return materialised_floats(rows, channels, C.n) + 2 * round_up(rows, 16);
    }

    /// out [rows, channels] = softmax(queries · keys^T, masked) · values; `tiles(i)` gives tile i of the head.
    template <class Arch, class Visible, class Tiles>
    static void attend(const QueryBlock& q, const Visible& visible, const Tiles& tiles, float* out, float* scratch) {
        const std::int64_t rows = round_up(q.rows, 16);
        const Partial whole{out, scratch, scratch + rows};
        whole.clear(q.rows, q.channels);
        Materialised<Arch> chunk(q, scratch + 2 * rows);
        Segments(q, visible, segment_keys).for_each([&](qwen3vl::mask::KeyRange keys) {
            merge<Arch>(q.rows, q.channels, chunk.over(keys, visible, tiles), whole);
        });
        finish<Arch>(q.rows, q.channels, whole);
    }

    /// The block over one chunk of keys alone, into `part`.
    template <class Arch, class Visible, class Tiles>
    static void attend_segment(const QueryBlock& q, const Visible& visible, const Tiles& tiles,
                               qwen3vl::mask::KeyRange keys, const Partial& part, float* scratch) {
        copy(q.rows, q.channels, Materialised<Arch>(q, scratch).over(keys, visible, tiles), part);
    }
};

}  // namespace qwen3vl::attention
