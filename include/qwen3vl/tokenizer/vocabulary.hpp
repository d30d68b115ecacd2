#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Tokens by id and by their bytes. Ids may leave holes.
class Vocabulary {
  public:
    /// A token's bytes and id.
    struct Entry {
        std::string bytes;     ///< as text has them, after the file's spelling was undone
        int id = 0;            ///< from 0
        bool findable = true;  ///< false: known by its id only
    };
    Vocabulary() = default;

    /// Throws TokenizerError where two entries share an id, two findable ones their bytes, or an id is negative or far
    /// beyond the number of entries. `file` is named in errors.
    Vocabulary(const std::vector<Entry>& entries, std::string file) : file_(std::move(file)) {
        const std::int64_t limit = static_cast<std::int64_t>(entries.size()) + max_holes;
        int largest = -1;
        std::size_t bytes = 0;
        for (const auto& e : entries) {
            if (e.id < 0 || e.id >= limit) {
                throw TokenizerError(file_ + ": token '" + e.bytes + "': expected an id from 0 to " +
                                     std::to_string(limit - 1) + " for " + std::to_string(entries.size()) +
                                     " tokens, found " + std::to_string(e.id));
            }
            largest = std::max(largest, e.id);
            bytes += e.bytes.size();
        }
        places_.resize(static_cast<std::size_t>(largest + 1));
        arena_.reserve(bytes);
        for (const auto& e : entries) {
            Place& place = places_[static_cast<std::size_t>(e.id)];
            if (place.used)
                throw TokenizerError(file_ + ": tokens '" + std::string(view(place)) + "' and '" + e.bytes +
                                     "' have the same id " + std::to_string(e.id));
            place = {arena_.size(), static_cast<std::uint32_t>(e.bytes.size()), true};
            arena_ += e.bytes;
            if (e.findable) order_.push_back(e.id);
        }
        std::sort(order_.begin(), order_.end(), [this](int a, int b) { return bytes_of(a) < bytes_of(b); });
        const auto twin = std::adjacent_find(order_.begin(), order_.end(),
                                             [this](int a, int b) { return bytes_of(a) == bytes_of(b); });
        if (twin != order_.end()) {
            throw TokenizerError(file_ + ": token '" + std::string(bytes_of(*twin)) + "' is listed twice, as " +
                                 std::to_string(twin[0]) + " and " + std::to_string(twin[1]));
        }
    }

    /// The largest id + 1.
    int size() const { return static_cast<int>(places_.size()); }

    /// True if a token has this id.
    bool contains(int id) const { return id >= 0 && id < size() && places_[static_cast<std::size_t>(id)].used; }

    /// The token's bytes, which live as long as the vocabulary. Throws TokenizerError where no token has this id.
    std::string_view bytes(int id) const {
        if (!contains(id)) {
            throw TokenizerError(file_ + ": no token has the id " + std::to_string(id) + "; ids are below " +
                                 std::to_string(size()));
        }
        return bytes_of(id);
    }

    /// The findable token with exactly these bytes. O(log n).
    std::optional<int> find(std::string_view bytes) const {
        const auto it = std::lower_bound(order_.begin(), order_.end(), bytes,
                                         [this](int id, std::string_view b) { return bytes_of(id) < b; });
        if (it == order_.end() || bytes_of(*it) != bytes) return std::nullopt;
        return *it;
    }

  private:
    static constexpr std::int64_t max_holes = std::int64_t{1} << 20;
    struct Place {
        std::size_t offset = 0;
        std::uint32_t length = 0;
        bool used = false;
    };
    std::string_view view(const Place& p) const { return std::string_view(arena_).substr(p.offset, p.length); }
    std::string_view bytes_of(int id) const { return view(places_[static_cast<std::size_t>(id)]); }

    std::string file_;
    std::string arena_;
    std::vector<Place> places_;  // by id
    std::vector<int> order_;     // findable ids, sorted by bytes: no hash that a hostile file could collide
};

}  // namespace qwen3vl::tokenizer
