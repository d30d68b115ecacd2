#pragma once
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/kv_cache/by_modality.hpp>
#include <qwen3vl/kv_cache/contiguous.hpp>
#include <qwen3vl/kv_cache/cross_layer.hpp>
#include <qwen3vl/kv_cache/evicting.hpp>
#include <qwen3vl/kv_cache/hybrid.hpp>
#include <qwen3vl/kv_cache/low_rank.hpp>
#include <qwen3vl/kv_cache/offloaded.hpp>
#include <qwen3vl/kv_cache/paged.hpp>
#include <qwen3vl/kv_cache/recurrent.hpp>
#include <qwen3vl/kv_cache/ring.hpp>
#include <qwen3vl/kv_cache/truncated_rank_codec.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {
/// Every cache over every codec: feeds the conformance tests and the bench.
using all = list<Contiguous<Float32>, Contiguous<Bf16>, Contiguous<Int8>, Contiguous<Int4>, Ring<Tokens{256}, Float32>,
                 Ring<Tokens{256}, Bf16>, Ring<Tokens{256}, Int8>, Ring<Tokens{256}, Int4>,
                 CrossLayer<Contiguous<Bf16>>, Hybrid<>, Offloaded<>, Paged<>>;
/// Caches by the modality of tokens.
using typed = list<ByModality<Bf16, Int4, Compression{.ratio = 1.5}>>;
/// Caches that evict keys.
using evicting = list<Evicting<Tokens{1024}>, Evicting<Tokens{1024}, LatestQueries<>>, Evicting<Tokens{1024}, Age>>;
/// Caches that need tables.
using with_parameters = list<LowRank<Rank{64}>, LowRank<Rank{64}, Contiguous<Int8>>,
                             LowRank<Rank{128}, Hybrid<Tokens{128}, Bf16, TruncatedRank<Rank{64}, Int8>>>>;
}  // namespace qwen3vl::kv_cache
