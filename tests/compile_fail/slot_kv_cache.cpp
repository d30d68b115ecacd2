// expect: qwen3vl: slot kv_cache: the policy lacks its name
// expect: qwen3vl: slot kv_cache: the policy lacks a codec with a name
// expect: qwen3vl: slot kv_cache: the policy lacks can_rewind, can_save or capacity
// expect: qwen3vl: slot kv_cache: the policy lacks bytes(extent)
// expect: qwen3vl: slot kv_cache: the policy lacks largest_chunk(extent)
// expect: qwen3vl: slot kv_cache: the policy lacks Layer::tile(kv_head, index, tokens)
// expect: qwen3vl: slot kv_cache: the policy lacks Layer::write<Arch>(kv_head, token, key, value)
// errors: 7
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
template <class P>
using With = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<P>>>;
using Whole = q::kv_cache::Contiguous<>;
struct NoAbilities {
    static constexpr const char* name = "NoAbilities";
    using codec = q::kv_cache::Bf16;
};
struct NoBytes : NoAbilities {
    static constexpr bool can_rewind = true, can_save = true;
    static constexpr std::int64_t capacity = 0;
};
struct NoChunk : NoBytes {
    static std::int64_t bytes(const q::kv_cache::Extent&);
};
struct NoTile : NoChunk {
    static std::int64_t largest_chunk(const q::kv_cache::Extent&);
    struct Layer {};
};
struct NoWrite : NoTile {
    struct Layer {
        Whole::codec::tile tile(std::int64_t, std::int64_t, std::int64_t) const;
    };
};
using M0 = With<int>;
using M1 = With<q::kv_cache::Int8>;
using M2 = With<NoAbilities>;
using M3 = With<NoBytes>;
using M4 = With<NoChunk>;
using M5 = With<NoTile>;
using M6 = With<NoWrite>;
