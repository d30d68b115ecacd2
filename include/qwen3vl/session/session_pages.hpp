#pragma once
#include <optional>
#include <qwen3vl/kv_cache/page_table.hpp>
#include <qwen3vl/policies/layer_slots.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// Page table of a sequence whose caches are Paged; a no-op for all others. Members do what those of
/// kv_cache::PageTable do.
template <Dims D, class P, bool = in_pages<P>>
class SessionPages {
  public:
    std::int64_t take_over(std::int64_t, std::int64_t) { return 0; }
    void reserve_tokens(std::int64_t, std::int64_t) {}
    void publish(std::int64_t) {}
    void shorten(std::int64_t) {}
    void renew(std::int64_t) {}
    void share(SessionPages&) {}
};

template <Dims D, class P>
class SessionPages<D, P, true> {
  public:
    /// `memory`: PageTable::bytes(context).
    void open(kv_cache::PageStore& store, std::byte* memory, const TokenLog& log) {
        table_.emplace(store, memory, log);
        begins_.resize(static_cast<std::size_t>(D::text.layers));
        for_each_page_part<D, P>([&](std::size_t layer, std::int64_t at, std::int64_t) { begins_[layer] = at; });
    }
    kv_cache::PageTable& table() { return *table_; }
    /// Byte offset in a page of the part of layer `owner`, which other layers may share.
    std::int64_t begin(std::size_t owner) const { return begins_[owner]; }

    std::int64_t take_over(std::int64_t first, std::int64_t end) { return table_->take_over(first, end); }
    void reserve_tokens(std::int64_t first, std::int64_t count) { table_->reserve_tokens(first, count); }
    void publish(std::int64_t tokens) { table_->publish(tokens); }
    void shorten(std::int64_t tokens) { table_->shorten(tokens); }
    void renew(std::int64_t tokens) { table_->renew(tokens); }
    void share(SessionPages& other) { table_->share(*other.table_); }

  private:
    std::optional<kv_cache::PageTable> table_;
    std::vector<std::int64_t> begins_;
};

}  // namespace qwen3vl::detail
