#pragma once
#include <algorithm>
#include <cstdint>
#include <qwen3vl/core/parameter.hpp>

/// Summaries by which blocks of keys are scored: a column of numbers for each block, whose product with a row made of
/// the query is the score. Made from a layer's parameters, where a summary has some.
namespace qwen3vl::inline QWEN3VL_ABI::mask {

/// Mean of the block's keys: the score is the mean of their products with the query (Lu et al., 2025, "MoBA: mixture of
/// block attention", eq. 6).
///     mask::DynamicSparse<BlockBudget{.keep = 32}, mask::MeanKey>
struct MeanKey {
    static constexpr const char* name = "MeanKey";
    /// Brings no parameters.
    MeanKey(const NoParameters&, std::int64_t /*kv_heads*/) {}
    /// Numbers to a column.
    static constexpr std::int64_t numbers(std::int64_t channels) { return channels; }
    /// column [channels], `stride` apart: key(i, channel) of `count` keys of a head.
    template <class Key>
    void summarise(std::int64_t /*kv_head*/, const Key& key, std::int64_t count, std::int64_t channels, float* column,
                   std::int64_t stride) const {
        for (std::int64_t c = 0; c < channels; ++c) {
            float sum = 0.0f;
            for (std::int64_t i = 0; i < count; ++i) sum += key(i, c);
            column[c * stride] = sum / static_cast<float>(count);
        }
    }
    /// Row [channels] whose product with a column is the score: the query itself.
    void query(std::int64_t /*kv_head*/, const float* q, std::int64_t channels, float* row) const {
        std::copy_n(q, channels, row);
    }
};

/// Largest and smallest of the block's keys by channel: the score is an upper bound of their products with the query
/// (Tang et al., 2024, "Quest: query-aware sparsity for efficient long-context LLM inference", algorithm 1).
///     mask::DynamicSparse<BlockBudget{.keep = 32}, mask::KeyBounds>
struct KeyBounds {
    static constexpr const char* name = "KeyBounds";
    /// Brings no parameters.
    KeyBounds(const NoParameters&, std::int64_t /*kv_heads*/) {}
    /// Numbers to a column: a largest and a smallest for each channel.
    static constexpr std::int64_t numbers(std::int64_t channels) { return 2 * channels; }
    /// column [2 * channels]: the largest, then the smallest.
    template <class Key>
    void summarise(std::int64_t /*kv_head*/, const Key& key, std::int64_t count, std::int64_t channels, float* column,
                   std::int64_t stride) const {
        for (std::int64_t c = 0; c < channels; ++c) {
            float largest = key(0, c), smallest = largest;
            for (std::int64_t i = 1; i < count; ++i) {
                largest = std::max(largest, key(i, c));
                smallest = std::min(smallest, key(i, c));
            }
            column[c * stride] = largest;
            column[(channels + c) * stride] = smallest;
        }
    }
    /// Row [2 * channels] whose product with a column is the score: the positive part of the query, then the negative
    /// one.
    void query(std::int64_t /*kv_head*/, const float* q, std::int64_t channels, float* row) const {
        for (std::int64_t c = 0; c < channels; ++c) {
            row[c] = std::max(q[c], 0.0f);
            row[channels + c] = std::min(q[c], 0.0f);
        }
    }
};

}  // namespace qwen3vl::mask
