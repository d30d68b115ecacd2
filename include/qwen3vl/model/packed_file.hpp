#pragma once
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/core/uncached_file.hpp>
#include <qwen3vl/memory/pages.hpp>
#include <string>
#include <system_error>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Weight matrices in the layout of their formats and Arch, in a file that the next load maps: no conversion, and
/// memory that processes share. The file says what it was made of (a key) and carries checksums; what does not agree
/// with either is not used.
///
///     header: magic, version, key, bytes of the whole; then a checksum for each piece of the matrices, and one of the
///     header and those; then the matrices
class PackedFile {
  public:
    /// The file in a folder for an Arch and its matrices' formats. A changed checkpoint has the same one, which is then
    /// made anew.
    static std::string path(const std::string& folder, std::uint64_t layout) {
        char name[64];
        std::snprintf(name, sizeof name, "/qwen3vl-%016llx.packed", static_cast<unsigned long long>(layout));
        return folder + name;
    }

    /// Makes the folder where it is missing, with those above it. Throws FileError where it cannot be made.
    static void make_folder(const std::string& folder) {
        std::error_code error;
        std::filesystem::create_directories(folder, error);
        std::error_code ignored;
        if (std::filesystem::is_directory(folder, ignored)) return;
        const std::string found = std::filesystem::exists(folder, ignored) ? "another file" : error.message();
        throw FileError(folder + ": expected a folder for packed weights, or leave to make it, found: " + found);
    }

    /// Use of the matrices after open() or create().
    enum class Use {
        mapped,  ///< in place, in the mapping
        read  ///< some are read through take_file() while the model runs; checks, and filling with flush(), then take
              ///< little memory
    };

    /// Maps the file and checks it on all threads of the team. Returns nullopt where there is no file, or where the one
    /// that is there is stale or damaged; `why` then says what is wrong with it.
    template <class Team>
    static std::optional<PackedFile> open(const std::string& path, std::uint64_t key,
                                          const std::vector<std::int64_t>& sizes, Team& team, std::string& why,
                                          Use use = Use::mapped) {
        if (::access(path.c_str(), F_OK) != 0) return {};
        PackedFile packed(sizes);
        try {
            packed.file_ = MappedFile(path);
            if (use == Use::read) packed.uncached_.emplace(path);
            why = packed.what_is_wrong(path, key, team);
        } catch (const FileError& e) {
            why = e.what();
        }
        if (why.empty()) return packed;
        return {};
    }

    /// Creates a file of this size for the matrices, to be filled through at() and then finished. Throws FileError
    /// where the system gives no room; a file that was at `path` stays until finish().
    static PackedFile create(const std::string& path, std::uint64_t key, const std::vector<std::int64_t>& sizes,
                             Use use = Use::mapped) {
        PackedFile packed(sizes);
        packed.writable_ = WritableFile(path, static_cast<std::size_t>(packed.total_));
        packed.data_ = packed.writable_.data();
        if (use == Use::read) packed.uncached_.emplace(packed.writable_.temporary(), path);
        packed.key_ = key;
        return packed;
    }
    /// Writes header and checksums and gives the file its name. Throws FileError.
    template <class Team>
    void finish(Team& team) {
        const Header h = header(key_);
        std::memcpy(writable_.data(), static_cast<const void*>(&h), sizeof h);
        if (uncached_) flush(writable_.data(), total_);
        const auto sums = checksums(team);
        std::memcpy(writable_.data() + sizeof h, sums.data(), 8 * sums.size());
        if (uncached_) flush(writable_.data(), first_);
        writable_.publish();
    }
    /// Writes bytes put at at() to the disk and evicts them from memory. Throws FileError.
    void flush(const std::byte* begin, std::int64_t bytes) { writable_.flush(begin, static_cast<std::size_t>(bytes)); }

    /// Moves out the uncached file of Use::read, to read matrices from. Call once, when the checks are done.
    UncachedFile take_file() { return std::move(*uncached_); }
    /// Byte of the file at which matrix `index` begins.
    std::int64_t offset(std::size_t index) const { return offsets_[index]; }

    /// Matrix `index`.
    const std::byte* at(std::size_t index) const { return data_ + offsets_[index]; }
    /// Matrix `index` of a file in the making, to be filled.
    std::byte* at(std::size_t index) { return writable_.data() + offsets_[index]; }

  private:
    struct Header {
        char magic[8] = {'q', '3', 'v', 'l', 'p', 'a', 'c', 'k'};
        std::uint64_t version = 1, key = 0, bytes = 0;
        bool operator==(const Header&) const = default;
    };
    static constexpr std::int64_t piece = std::int64_t{4} << 20;

    explicit PackedFile(const std::vector<std::int64_t>& sizes) {
        std::int64_t all = 0;
        for (const auto n : sizes) all += round_up(n, 64);
        pieces_ = ceil_div(all, piece);
        total_ = first_ = round_up(static_cast<std::int64_t>(sizeof(Header)) + 8 * (pieces_ + 1), 4096);
        for (const auto n : sizes) {
            offsets_.push_back(total_);
            total_ += round_up(n, 64);
        }
    }
    Header header(std::uint64_t key) const {
        Header h;
        h.key = key;
        h.bytes = static_cast<std::uint64_t>(total_);
        return h;
    }
    /// Empty where the mapped file is in order.
    template <class Team>
    std::string what_is_wrong(const std::string& path, std::uint64_t key, Team& team) {
        const auto bytes = file_.bytes();
        data_ = bytes.data();
        Header found{};
        if (bytes.size() >= sizeof found) std::memcpy(static_cast<void*>(&found), bytes.data(), sizeof found);
        if (bytes.size() != static_cast<std::size_t>(total_) || !(found == header(key)))
            return path + ": made for another state of the checkpoint or another version";
        const std::vector<std::uint64_t> sums = checksums(team);
        return std::memcmp(sums.data(), bytes.data() + sizeof found, 8 * sums.size()) != 0 ? path + ": damaged" : "";
    }
    /// Checksums of the pieces, and at the end one of the header and those.
    template <class Team>
    std::vector<std::uint64_t> checksums(Team& team) const {
        std::vector<std::uint64_t> sums(static_cast<std::size_t>(pieces_) + 1);
        std::vector<memory::Pages> buffers;
        for (int i = 0; uncached_ && i < team.threads(); ++i) buffers.emplace_back(piece);
        team.run(pieces_, [&](std::int64_t i, int thread) {
            const std::int64_t begin = first_ + i * piece, bytes = std::min(piece, total_ - begin);
            const std::byte* data = data_ + begin;
            if (uncached_) {
                std::byte* buffer = buffers[static_cast<std::size_t>(thread)].data();
                uncached_->read(begin, bytes, buffer);
                data = buffer;
            }
            sums[static_cast<std::size_t>(i)] =
                checksum(data, static_cast<std::size_t>(bytes), static_cast<std::uint64_t>(i));
        });
        sums.back() = checksum(reinterpret_cast<const std::byte*>(sums.data()), 8 * static_cast<std::size_t>(pieces_),
                               checksum(data_, sizeof(Header)));
        return sums;
    }

    std::vector<std::int64_t> offsets_;
    std::int64_t total_ = 0, first_ = 0, pieces_ = 0;
    std::uint64_t key_ = 0;
    MappedFile file_;
    WritableFile writable_;
    std::optional<UncachedFile> uncached_;
    const std::byte* data_ = nullptr;
};

}  // namespace qwen3vl
