#pragma once
#include <qwen3vl/kv_cache/page_store.hpp>
#include <qwen3vl/memory/available.hpp>
#include <qwen3vl/model/model.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A pool's size, fixed for its life.
struct PagePoolOptions {
    std::int64_t tokens = 65536;  ///< tokens of all sequences together, in whole pages of 64; shared ones count once
    std::int64_t bytes = 0;       ///< above 0: as many pages as fit into these, whatever `tokens` says
};

/// The keys and values of many sessions of a model whose cache is kv_cache::Paged. Outlives the sessions made on it,
/// and the model outlives it. Sessions in any number of threads may use one.
///
///     q::PagePool pool(model, {.tokens = 65536});
///     q::Session session(pool, {.context = 8192});
template <class M>
class PagePool {
    using D = typename M::dims;
    using P = typename M::policies;

  public:
    /// Takes all memory of the pages. Throws OutOfMemory where there is no room for a page, or more than the machine
    /// has available.
    explicit PagePool(const M& model, const PagePoolOptions& options = {})
        : model_(&model),
          memory_(checked_bytes(options)),
          store_(memory_.take(count(options) * page_bytes()), page_bytes(), count(options)) {}
    /// A pool does not keep its model alive: name the model first.
    explicit PagePool(M&&, const PagePoolOptions& = {}) = delete;
    PagePool(const PagePool&) = delete;
    PagePool& operator=(const PagePool&) = delete;

    /// The model whose sessions share the pool.
    const M& model() const { return *model_; }
    /// Tokens of a page, and bytes of it, all layers together.
    static constexpr std::int64_t page_tokens = kv_cache::tile_keys;
    /// Bytes of page_tokens tokens in all layers.
    static std::int64_t page_bytes() {
        static_assert(detail::in_pages<P>,
                      "qwen3vl: slot kv_cache: this cache has no pages for a PagePool; use kv_cache::Paged");
        return detail::page_bytes<D, P>();
    }
    /// Bytes of a pool, which are no part of its sessions' plans. Allocates nothing.
    static MemoryPlan memory_plan(const PagePoolOptions& options = {}) {
        return {{{"kv_cache: pages", footprint(options), false}}};
    }

    /// Pages in use, shared and free, and what was reused.
    kv_cache::PageStatistics statistics() const { return store_.statistics(); }
    /// The pages themselves, for sessions.
    kv_cache::PageStore& store() { return store_; }

  private:
    static std::int64_t count(const PagePoolOptions& o) {
        return o.bytes > 0 ? o.bytes / page_bytes() : ceil_div(o.tokens, page_tokens);
    }
    static std::int64_t footprint(const PagePoolOptions& o) { return P::Memory::footprint(count(o) * page_bytes()); }
    static std::int64_t checked_bytes(const PagePoolOptions& o) {
        constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
        if (const std::int64_t n = count(o); n < 1 || n > most)
            throw OutOfMemory("PagePoolOptions: expected room for 1 to " + std::to_string(most) + " pages of " +
                              std::to_string(page_tokens) + " tokens, " + std::to_string(page_bytes()) +
                              " bytes each; found " + std::to_string(n));
        const std::int64_t bytes = footprint(o);
        if (const auto free = memory::available(); free && bytes > *free)
            throw OutOfMemory(
                "a pool of " + std::to_string(count(o)) + " pages needs " + std::to_string(bytes >> 20) +
                " MiB, available are " + std::to_string(*free >> 20) +
                " MiB; make PagePoolOptions::tokens smaller or choose a smaller codec of kv_cache::Paged");
        return bytes;
    }

    const M* model_;
    typename P::Memory memory_;
    kv_cache::PageStore store_;
};

/// Stands in for the pool of a model that was refused.
template <class M>
requires M::refused class PagePool<M> {
  public:
    explicit PagePool(const M&, const PagePoolOptions& = {});
    const M& model() const;
    kv_cache::PageStatistics statistics() const;
};

}  // namespace qwen3vl
