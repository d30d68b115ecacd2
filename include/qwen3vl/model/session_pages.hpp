#pragma once
#include <optional>
#include <qwen3vl/kv_cache/page_table.hpp>
#include <qwen3vl/model/positions.hpp>
#include <qwen3vl/model/session_plan.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// Tells the features of pictures and clips apart: two hashes of all that they are.
inline std::array<std::uint64_t, 2> content_hash(const VisualFeatures& v) {
    const std::int64_t extents[] = {v.grid.t, v.grid.h, v.grid.w, v.merge, v.width, static_cast<std::int64_t>(v.deepstack.size())};
    std::array<std::uint64_t, 2> hash{1, 2};
    const auto add = [&](std::span<const std::byte> bytes) {
        for (auto& h : hash) h = checksum(bytes.data(), bytes.size(), h);
    };
    add(std::as_bytes(std::span(extents)));
    add(std::as_bytes(std::span(v.embedding)));
    for (const auto& level : v.deepstack) add(std::as_bytes(std::span(level)));
    return hash;
}

/// What a session whose caches lie in pages knows of them; nothing for all others.
template <Dims D, class P, bool = in_pages<P>>
class SessionPages {
  public:
    void note(const Prompt&, const Layout&, std::int64_t) {}
    void note(int, std::int64_t) {}
    std::int64_t take_over(std::int64_t, std::int64_t) { return 0; }
    void make_room(std::int64_t, std::int64_t) {}
    void publish(std::int64_t) {}
    void shorten(std::int64_t) {}
    void renew(std::int64_t) {}
    void share(SessionPages&) {}
};

/// The members do what those of kv_cache::PageTable do, for the sequence's tokens from `first` on.
template <Dims D, class P>
class SessionPages<D, P, true> {
  public:
    /// `memory`: PageTable::bytes(context).
    void open(kv_cache::PageStore& store, std::byte* memory, std::int64_t context) {
        table_.emplace(store, memory, context);
        begins_.resize(static_cast<std::size_t>(D::text.layers));
        for_each_page_part<D, P>([&](std::size_t layer, std::int64_t at, std::int64_t) { begins_[layer] = at; });
    }
    kv_cache::PageTable& table() { return *table_; }
    /// Where the part of a layer that others may share begins in a page.
    std::int64_t begin(std::size_t owner) const { return begins_[owner]; }

    void note(const Prompt& prompt, const Layout& layout, std::int64_t first) {
        table_->note(first, prompt.tokens);
        std::vector<std::array<std::uint64_t, 2>> content;
        for (const auto& v : prompt.visuals) content.push_back(content_hash(*v));
        for (const auto& s : layout.spans) table_->note(kv_cache::PageTable::Picture{first + s.first, s.count, s.row, content[s.visual]});
    }
    void note(int token, std::int64_t first) { table_->note(first, {&token, 1}); }
    std::int64_t take_over(std::int64_t first, std::int64_t end) { return table_->take_over(first, end); }
    void make_room(std::int64_t first, std::int64_t count) { table_->make_room(first, count); }
    void publish(std::int64_t tokens) { table_->publish(tokens); }
    void shorten(std::int64_t tokens) { table_->shorten(tokens); }
    void renew(std::int64_t tokens) { table_->renew(tokens); }
    void share(SessionPages& other) { table_->share(*other.table_); }

  private:
    std::optional<kv_cache::PageTable> table_;
    std::vector<std::int64_t> begins_;
};

}  // namespace qwen3vl::detail
