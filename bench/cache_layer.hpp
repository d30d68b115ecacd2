#pragma once
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/tables.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>

namespace bench {

/// A layer's cache in memory; where it needs directions, they are the channels themselves.
template <class Cache>
typename Cache::Layer cache_layer(std::byte* memory, const qwen3vl::kv_cache::Extent& e) {
    if constexpr (qwen3vl::NeedsTables<Cache, qwen3vl::TextDims>) {
        std::vector<float> unit(static_cast<std::size_t>(e.kv_heads * e.channels * e.channels));
        for (std::int64_t row = 0; row < e.kv_heads * e.channels; ++row) unit[static_cast<std::size_t>(row * e.channels + row % e.channels)] = 1;
        return {memory, e, std::vector<std::vector<float>>(2, unit)};
    } else {
        return {memory, e};
    }
}

}  // namespace bench
