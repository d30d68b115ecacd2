#pragma once
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/kv_cache/page_store.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// A sequence's block table: which page of a store holds its tokens 64 i, 64 i + 1, … for all layers, and what these tokens are. Used by one thread at a time;
/// the store outlives it.
class PageTable {
  public:
    /// Consecutive tokens that stand for a picture or frame pair, by sequence index.
    struct Picture {
        std::int64_t first = 0, count = 0;
        std::int64_t row = 0;                    ///< of its features, at `first`
        std::array<std::uint64_t, 2> content{};  ///< hash of the features
    };

    /// Bytes for a context of so many tokens.
    static std::int64_t bytes(std::int64_t context) {
        return room_of(context) * static_cast<std::int64_t>(sizeof(std::byte*)) + context * static_cast<std::int64_t>(sizeof(int));
    }
    /// `memory`: bytes(context), aligned to 8.
    PageTable(PageStore& store, std::byte* memory, std::int64_t context)
        : store_(&store), pages_(reinterpret_cast<std::byte**>(memory)), tokens_(reinterpret_cast<int*>(pages_ + room_of(context))) {}
    PageTable(const PageTable&) = delete;
    PageTable& operator=(const PageTable&) = delete;
    ~PageTable() { keep(0); }

    /// Page `index`, of which there is one for every token that has room.
    std::byte* page(std::int64_t index) const { return pages_[index]; }

    /// Pages for tokens [first, first + count), which may be written to then; those behind them are given back, and what lies there is void. Throws
    /// PoolExhausted; all is then as before.
    void make_room(std::int64_t first, std::int64_t count) {
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

    /// The tokens from sequence index `first` on, before they are computed; what is known of those at `first` and behind is replaced.
    void note(std::int64_t first, std::span<const int> tokens) {
        if (first > known_) return;  // behind tokens that are not known
        std::copy(tokens.begin(), tokens.end(), tokens_ + first);
        known_ = first + static_cast<std::int64_t>(tokens.size());
    }
    void note(const Picture& picture) { pictures_.push_back(picture); }

    /// After tokens [0, first) takes pages over that hold what was noted behind them, up to sequence index `end` at most; returns how many tokens more there
    /// are.
    std::int64_t take_over(std::int64_t first, std::int64_t end) {
        if (published_ < first / tile_keys) return 0;
        for (; (published_ + 1) * tile_keys <= std::min(end, known_); ++published_) {
            std::byte* page = store_->find(content(published_));
            if (!page) break;
            keep(published_);
            pages_[held_++] = page;
        }
        own_ = std::max(own_, published_);
        return std::max<std::int64_t>(0, published_ * tile_keys - first);
    }
    /// The first `tokens` tokens are computed: pages that are full of known ones can be found.
    void publish(std::int64_t tokens) {
        for (; (published_ + 1) * tile_keys <= std::min(tokens, known_); ++published_)
            pages_[published_] = store_->publish(pages_[published_], content(published_));
        own_ = std::max(own_, published_);
    }

    /// Forgets all but the first `tokens` tokens, the end of which is outside of pictures.
    void shorten(std::int64_t tokens) {
        keep(ceil_div(tokens, tile_keys));
        published_ = std::min(published_, tokens / tile_keys);
        known_ = std::min(known_, tokens);
        while (!pictures_.empty() && pictures_.back().first >= tokens) pictures_.pop_back();
    }
    /// Pages of its own for so many tokens that are not known, in place of all there were. Throws PoolExhausted; all is then as before.
    void renew(std::int64_t tokens) {
        const std::int64_t count = ceil_div(tokens, tile_keys);
        if (!store_->renew(pages_, held_, count)) exhausted(count);
        held_ = count;
        own_ = published_ = known_ = 0;
        pictures_.clear();
    }
    /// Becomes as another table of the store is, which has no longer context: both refer to the same pages, and who writes to one copies it.
    void share(PageTable& other) {
        shorten(0);
        store_->share(other.span(0, other.held_));
        std::copy_n(other.pages_, other.held_, pages_);
        std::copy_n(other.tokens_, other.known_, tokens_);
        pictures_ = other.pictures_;
        held_ = own_ = other.own_ = other.held_;
        published_ = other.published_;
        known_ = other.known_;
    }

  private:
    /// Entries of the table: one more for a page that is copied.
    static std::int64_t room_of(std::int64_t context) { return ceil_div(context, tile_keys) + 1; }
    std::span<std::byte*> span(std::int64_t begin, std::int64_t end) const { return {pages_ + begin, static_cast<std::size_t>(std::max(begin, end) - begin)}; }
    void keep(std::int64_t count) {
        if (held_ <= count) return;
        store_->release(span(count, held_));
        held_ = count;
    }
    PageContent content(std::int64_t index) const {
        PageContent c;
        if (index > 0) c.before = store_->number(pages_[index - 1]);
        const std::int64_t first = index * tile_keys;
        std::copy_n(tokens_ + first, tile_keys, c.tokens.begin());
        for (const Picture& p : pictures_) {
            const std::int64_t from = std::max(p.first, first), to = std::min(p.first + p.count, first + tile_keys);
            if (from >= to) continue;
            const std::int64_t place[] = {from - first, to - from, p.row + from - p.first};
            for (std::size_t i = 0; i < c.pictures.size(); ++i)
                c.pictures[i] = checksum(reinterpret_cast<const std::byte*>(place), sizeof place, checksum_of(p.content, c.pictures[i] + i));
        }
        return c;
    }
    static std::uint64_t checksum_of(const std::array<std::uint64_t, 2>& words, std::uint64_t seed) {
        return checksum(reinterpret_cast<const std::byte*>(words.data()), sizeof words, seed);
    }
    [[noreturn]] void exhausted(std::int64_t wanted) const {
        const PageStatistics s = store_->statistics();
        throw PoolExhausted("the pool has " + std::to_string(s.pages) + " pages of " + std::to_string(tile_keys) + " tokens, of which sessions use " +
                            std::to_string(s.in_use) + ": " + std::to_string(wanted) + " are needed, " + std::to_string(s.free + s.cached) +
                            " can be had; end or shorten a session, or make a larger PagePool");
    }

    PageStore* store_;
    std::byte** pages_;
    int* tokens_;
    std::vector<Picture> pictures_;
    std::int64_t held_ = 0;       ///< pages
    std::int64_t own_ = 0;        ///< from this page on all of them may be written to
    std::int64_t published_ = 0;  ///< so many first ones are published
    std::int64_t known_ = 0;      ///< first tokens that are known
};

}  // namespace qwen3vl::kv_cache
