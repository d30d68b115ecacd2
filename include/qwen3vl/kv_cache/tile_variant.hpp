#pragma once
#include <qwen3vl/kv_cache/tile.hpp>
#include <variant>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// A tile of one kind or the other.
template <class A, class B>
struct TileVariant : std::variant<A, B> {
    using std::variant<A, B>::variant;
    /// f(tile) of its kind.
    template <class F>
    decltype(auto) visit(F&& f) const {
        return std::visit(f, static_cast<const std::variant<A, B>&>(*this));
    }
    float key(std::int64_t i, std::int64_t channel) const {
        return visit([&](const auto& t) { return t.key(i, channel); });
    }
    float value(std::int64_t i, std::int64_t channel) const {
        return visit([&](const auto& t) { return t.value(i, channel); });
    }
};

}  // namespace qwen3vl::kv_cache
