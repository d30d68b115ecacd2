#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/core/file.hpp>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Vectors of length 1 with names, and their file. A search compares with all of them.
class VectorIndex {
  public:
    /// A vector in the index.
    struct Entry {
        std::string name;           ///< a file's, say; each stands once
        std::uint64_t stamp = 0;    ///< of the content that was embedded, by which a change is noticed
        std::vector<float> vector;  ///< [width]
    };
    /// A found entry.
    struct Match {
        std::size_t index = 0;  ///< of the entry
        float similarity = 0;   ///< dot product with the query
    };

    /// An empty index. `key` tells what makes its vectors (Embedder::fingerprint()), `width` their numbers.
    VectorIndex(std::uint64_t key, int width) : key_(key), width_(width) {}

    /// Reads an index. Throws FileError where it cannot be read; LoadError where it is no index of this version, is
    /// damaged, or was made with another key or width.
    static VectorIndex load(const std::string& path, std::uint64_t key, int width) {
        const MappedFile file(path);
        const auto bytes = file.bytes();
        const auto fail = [&](const std::string& what) { throw LoadError(path + ": " + what); };
        Header h;
        const Header expected{.key = key, .width = static_cast<std::uint64_t>(width)};
        if (bytes.size() >= sizeof h) std::memcpy(static_cast<void*>(&h), bytes.data(), sizeof h);
        if (bytes.size() < sizeof h + sizeof(std::uint64_t) ||
            std::memcmp(h.magic, expected.magic, sizeof h.magic) != 0)
            fail("not an index of vectors");
        if (h.version != expected.version)
            fail("an index in version " + std::to_string(h.version) + " of the format, expected " +
                 std::to_string(expected.version));
        std::uint64_t sum = 0;
        const auto content = bytes.first(bytes.size() - sizeof sum);
        std::memcpy(&sum, bytes.data() + content.size(), sizeof sum);
        if (h.bytes != bytes.size() || sum != checksum(content.data(), content.size()))
            fail("damaged: its size or checksum is wrong");
        if (h.key != key || h.width != expected.width)
            fail("made by another model or other options; remove it to make it anew");
        Reader reader{content.subspan(sizeof h)};
        VectorIndex index(key, width);
        for (std::uint64_t i = 0; i < h.count; ++i) {
            Entry entry;
            std::uint64_t name = 0;
            if (!reader.read(&entry.stamp, sizeof entry.stamp) || !reader.read(&name, sizeof name) ||
                name > reader.rest.size())
                fail("damaged: entry " + std::to_string(i) + " of " + std::to_string(h.count) + " is incomplete");
            entry.name.resize(name);
            reader.read(entry.name.data(), name);
            if (reader.rest.size() / sizeof(float) < h.width)
                fail("damaged: entry " + std::to_string(i) + " of " + std::to_string(h.count) + " is incomplete");
            entry.vector.resize(h.width);
            reader.read(entry.vector.data(), h.width * sizeof(float));
            const bool finite =
                std::all_of(entry.vector.begin(), entry.vector.end(), [](float x) { return std::isfinite(x); });
            if (!finite || index.find(entry.name))
                fail("damaged: entry " + std::to_string(i) + " is no vector or stands twice");
            index.put(std::move(entry));
        }
        if (!reader.rest.empty()) fail("damaged: bytes behind the last entry");
        return index;
    }

    /// Writes the index; a file that was there stays until the new one is complete. Throws FileError.
    void save(const std::string& path) const {
        std::uint64_t bytes = sizeof(Header) + sizeof(std::uint64_t);
        for (const Entry& e : entries_)
            bytes += 2 * sizeof(std::uint64_t) + e.name.size() + e.vector.size() * sizeof(float);
        const Header h{
            .key = key_, .width = static_cast<std::uint64_t>(width_), .count = entries_.size(), .bytes = bytes};
        WritableFile file(path, bytes);
        std::byte* to = file.data();
        const auto write = [&](const void* from, std::size_t n) {
            if (n > 0) std::memcpy(to, from, n);
            to += n;
        };
        write(&h, sizeof h);
        for (const Entry& e : entries_) {
            const std::uint64_t name = e.name.size();
            write(&e.stamp, sizeof e.stamp);
            write(&name, sizeof name);
            write(e.name.data(), e.name.size());
            write(e.vector.data(), e.vector.size() * sizeof(float));
        }
        const std::uint64_t sum = checksum(file.data(), bytes - sizeof sum);
        write(&sum, sizeof sum);
        file.publish();
    }

    /// The entries, in the order of their addition.
    const std::vector<Entry>& entries() const { return entries_; }
    /// The entry of that name; null where there is none.
    const Entry* find(const std::string& name) const {
        const auto at = places_.find(name);
        return at == places_.end() ? nullptr : &entries_[at->second];
    }
    /// Adds an entry, or replaces the one of that name. Throws ConfigError where the vector has another width.
    void put(Entry entry) {
        if (std::ssize(entry.vector) != width_)
            throw ConfigError("an index of vectors of " + std::to_string(width_) + " numbers was given one of " +
                              std::to_string(entry.vector.size()));
        const auto [at, added] = places_.try_emplace(entry.name, entries_.size());
        if (added)
            entries_.push_back(std::move(entry));
        else
            entries_[at->second] = std::move(entry);
    }
    /// Removes the entries of which `keep(entry)` is false; returns how many.
    template <class Keep>
    std::size_t keep_if(Keep&& keep) {
        const auto removed = std::erase_if(entries_, [&](const Entry& e) { return !keep(e); });
        places_.clear();
        for (std::size_t i = 0; i < entries_.size(); ++i) places_.emplace(entries_[i].name, i);
        return removed;
    }

    /// The `best` entries most similar to a query [width], the most similar first; of equals the earlier first. Throws
    /// ConfigError where the query has another width.
    std::vector<Match> search(std::span<const float> query, std::size_t best) const {
        if (std::ssize(query) != width_)
            throw ConfigError("an index of vectors of " + std::to_string(width_) + " numbers was asked with one of " +
                              std::to_string(query.size()));
        std::vector<Match> matches(entries_.size());
        for (std::size_t i = 0; i < matches.size(); ++i) {
            float sum = 0;
            for (std::size_t c = 0; c < query.size(); ++c) sum += query[c] * entries_[i].vector[c];
            matches[i] = {i, sum};
        }
        std::stable_sort(matches.begin(), matches.end(),
                         [](const Match& a, const Match& b) { return a.similarity > b.similarity; });
        matches.resize(std::min(best, matches.size()));
        return matches;
    }

  private:
    /// Begins the file. The entries follow: stamp, bytes of the name, name, vector. A checksum of it all ends it.
    struct Header {
        char magic[8] = {'q', '3', 'v', 'l', 'i', 'n', 'd', 'x'};
        std::uint64_t version = 1;
        std::uint64_t key = 0;
        std::uint64_t width = 0;  ///< numbers of a vector
        std::uint64_t count = 0;  ///< entries
        std::uint64_t bytes = 0;  ///< of the whole file
    };
    struct Reader {
        std::span<const std::byte> rest;
        bool read(void* to, std::size_t n) {
            if (n > rest.size()) return false;
            if (n > 0) std::memcpy(to, rest.data(), n);
            rest = rest.subspan(n);
            return true;
        }
    };
    std::uint64_t key_;
    int width_;
    std::vector<Entry> entries_;
    std::unordered_map<std::string, std::size_t> places_;  ///< of entries, by name
};

}  // namespace qwen3vl
