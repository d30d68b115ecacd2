#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/error.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::memory {

/// Part of the model that works on a block.
enum class Pool : std::uint8_t { attention, mlp, embedding, vision };
inline constexpr std::size_t pool_count = 4;  ///< number of pools
/// By Pool, as options and plans name them.
inline constexpr const char* pool_names[pool_count] = {"attention", "mlp", "embedding", "vision"};

/// Lifetime of a block's contents.
enum class Content : std::uint8_t {
    kept,     ///< always
    scratch,  ///< while somebody holds it
    pinned,   ///< always, and it is read without being held
};

/// Purpose of a block. Blocks of one pool, content and group are used together: a group is a layer, or a stage of the
/// tower.
struct Role {
    Pool pool = Pool::attention;        ///< whose limit counts the block
    Content content = Content::pinned;  ///< says for how long it has to be kept
    int group = 0;                      ///< decoder layer, or stage of the tower
    friend bool operator==(const Role&, const Role&) = default;
};

/// Memory policies that tell blocks apart by their roles. After settle(), hold(role, writes) and hold_all(writes)
/// return guards, which keep their groups in memory while they live.
template <class Memory>
concept TellsRoles = requires(Memory& memory, const Role& role) {
    { memory.take(std::int64_t{}, role) } -> std::same_as<std::byte*>;
    memory.settle();
    memory.hold(role, true);
    memory.hold_all(true);
};

/// Takes a block from any memory policy: from the role's pool, where the policy has pools.
template <class Memory>
std::byte* take(Memory& memory, std::int64_t bytes, const Role& role) {
    if constexpr (TellsRoles<Memory>)
        return memory.take(bytes, role);
    else
        return memory.take(bytes);
}

/// No-op guard for policies that never evict.
struct NoGuard {};

/// Keeps all groups of any memory policy in memory, for as long as the result lives.
template <class Memory>
auto hold_all([[maybe_unused]] const Memory& memory, [[maybe_unused]] bool writes) {
    if constexpr (TellsRoles<Memory>)
        return memory.hold_all(writes);
    else
        return NoGuard{};
}

class Tiers;

/// Makes a memory policy of `bytes` bytes. `tiers` may be null, and has to be where the policy has no roles. Throws
/// OutOfMemory, ConfigError.
template <class Memory>
Memory make(std::int64_t bytes, Tiers* tiers) {
    if constexpr (TellsRoles<Memory>) {
        return Memory(bytes, tiers);
    } else {
        if (tiers)
            throw ConfigError(std::string("tiers were given to the memory policy ") + Memory::name +
                              ", which has none; use memory::Tiered");
        return Memory(bytes);
    }
}
/// Ends allocation: called after the last take().
template <class Memory>
void settle([[maybe_unused]] Memory& memory) {
    if constexpr (TellsRoles<Memory>) memory.settle();
}

}  // namespace qwen3vl::memory
