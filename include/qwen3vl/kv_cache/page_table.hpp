#pragma once
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/token_log.hpp>
#include <qwen3vl/kv_cache/page_store.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// A sequence's block table: the page of a store that holds its tokens 64 i, 64 i + 1, … for all layers. Used by one
/// thread at a time; the store and the sequence's log of tokens outlive it.
class PageTable {
  public:
    /// Bytes of the table for a context of `context` tokens.
    static std::int64_t bytes(std::int64_t context) {
        return entries_for(context) * static_cast<std::int64_t>(sizeof(std::byte*));
    }
    /// `memory`: bytes(context), aligned to 8.
    PageTable(PageStore& store, std::byte* memory, const TokenLog& log)
        : store_(&store), log_(&log), pages_(reinterpret_cast<std::byte**>(memory)) {}
    PageTable(const PageTable&) = delete;
    PageTable& operator=(const PageTable&) = delete;
    ~PageTable() { keep(0); }

    /// Page `index`, of which there is one for every token that has room.
    std::byte* page(std::int64_t index) const { return pages_[index]; }

    /// Takes pages for tokens [first, first + count), which may then be written to. Pages behind them are given back;
    /// what lay there is void. Throws PoolExhausted, with everything as before.
    void reserve_tokens(std::int64_t first, std::int64_t count) {
        const std::int64_t begin = first / tile_keys, end = ceil_div(first + count, tile_keys);
        if (begin >= own_ && end <= held_) return;
        keep(ceil_div(first, tile_keys));
        const std::byte* old = begin < held_ && !store_->writable(pages_[begin]) ? pages_[begin] : nullptr;
        const auto take = [&] { return store_->take(span(held_, end + (old ? 1 : 0))); };
        if (!take()) {
            if (!old || !store_->withdraw(old)) exhausted(end - held_ + (old ? 1 : 0));
            old = nullptr;  // this page itself may be written to now
            if (!take()) exhausted(end - held_);
        }
        held_ = end;
        if (old) {
            store_->copy(old, pages_[end]);
            pages_[begin] = pages_[end];
        }
        own_ = std::min(own_, begin);
    }

    /// Reuses published pages that hold the logged tokens behind tokens [0, first), up to sequence index `end` at most.
    /// Returns the number of tokens reused.
    std::int64_t take_over(std::int64_t first, std::int64_t end) {
        if (published_ < first / tile_keys) return 0;
        for (; (published_ + 1) * tile_keys <= std::min(end, known()); ++published_) {
            std::byte* page = store_->find(content(published_));
            if (!page) break;
            keep(published_);
            pages_[held_++] = page;
        }
        own_ = std::max(own_, published_);
        return std::max<std::int64_t>(0, published_ * tile_keys - first);
    }
    /// Publishes the full pages of the first `tokens` tokens, which are computed: other sequences then find them.
    void publish(std::int64_t tokens) {
        for (; (published_ + 1) * tile_keys <= std::min(tokens, known()); ++published_)
            pages_[published_] = store_->publish(pages_[published_], content(published_));
        own_ = std::max(own_, published_);
    }

    /// Forgets all but the pages of the first `tokens` tokens, the end of which is outside of pictures.
    void shorten(std::int64_t tokens) {
        keep(ceil_div(tokens, tile_keys));
        published_ = std::min(published_, tokens / tile_keys);
        if (tokens == 0) restored_ = false;
    }
    /// Takes pages of its own for `tokens` tokens that come from elsewhere, in place of all it had; they are not
    /// published. Throws PoolExhausted, with everything as before.
    void renew(std::int64_t tokens) {
        const std::int64_t count = ceil_div(tokens, tile_keys);
        if (!store_->renew(pages_, held_, count)) exhausted(count);
        held_ = count;
        own_ = published_ = 0;
        restored_ = tokens > 0;
    }
    /// Refers to the pages of another table of the store, whose context is no longer than this one's; writing to a
    /// shared page copies it.
    void share(PageTable& other) {
        shorten(0);
        store_->share(other.span(0, other.held_));
        std::copy_n(other.pages_, other.held_, pages_);
        held_ = own_ = other.own_ = other.held_;
        published_ = other.published_;
        restored_ = other.restored_;
    }

  private:
    /// Entries of the table: one more for a page that is copied.
    static std::int64_t entries_for(std::int64_t context) { return ceil_div(context, tile_keys) + 1; }
    std::span<std::byte*> span(std::int64_t begin, std::int64_t end) const {
        return {pages_ + begin, static_cast<std::size_t>(std::max(begin, end) - begin)};
    }
    void keep(std::int64_t count) {
        if (held_ <= count) return;
        store_->release(span(count, held_));
        held_ = count;
    }
    /// Tokens of the log that others may be told of: keys that come from a file may be anything.
    std::int64_t known() const { return restored_ ? 0 : log_->size(); }
    PageContent content(std::int64_t index) const {
        PageContent c;
        if (index > 0) c.before = store_->number(pages_[index - 1]);
        const std::int64_t first = index * tile_keys;
        std::copy_n(log_->ids().data() + first, tile_keys, c.tokens.begin());
        for (const SequencePicture& p : log_->pictures()) {
            const std::int64_t from = std::max(p.first, first), to = std::min(p.end(), first + tile_keys);
            if (from >= to) continue;
            const std::int64_t place[] = {from - first, to - from, p.feature_row + from - p.first};
            for (std::size_t i = 0; i < c.pictures.size(); ++i)
                c.pictures[i] = checksum(reinterpret_cast<const std::byte*>(place), sizeof place,
                                         checksum_of(p.content, c.pictures[i] + i));
        }
        return c;
    }
    static std::uint64_t checksum_of(const std::array<std::uint64_t, 2>& words, std::uint64_t seed) {
        return checksum(reinterpret_cast<const std::byte*>(words.data()), sizeof words, seed);
    }
    [[noreturn]] void exhausted(std::int64_t wanted) const {
        const PageStatistics s = store_->statistics();
        throw PoolExhausted("the pool has " + std::to_string(s.pages) + " pages of " + std::to_string(tile_keys) +
                            " tokens, of which sessions use " + std::to_string(s.in_use) + ": " +
                            std::to_string(wanted) + " are needed, " + std::to_string(s.free + s.cached) +
                            " can be had; end or shorten a session, or make a larger PagePool");
    }

    PageStore* store_;
    const TokenLog* log_;
    std::byte** pages_;
    std::int64_t held_ = 0;       ///< pages
    std::int64_t own_ = 0;        ///< from this page on all of them may be written to
    std::int64_t published_ = 0;  ///< so many first ones are published
    bool restored_ = false;       ///< the first pages came from elsewhere
};

}  // namespace qwen3vl::kv_cache
