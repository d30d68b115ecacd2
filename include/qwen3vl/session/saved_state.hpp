#pragma once
#include <cstring>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/core/pass.hpp>
#include <span>
#include <string>

/// File of a saved sequence: header, tokens, the pictures among them, logits if there are any, the caches layer by
/// layer, and the owner's bytes. A checksum of it all ends it.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

struct SavedHeader {
    char magic[8] = {'q', '3', 'v', 'l', 'k', 'v', 's', 't'};
    std::uint64_t version = 6;
    std::uint64_t key = 0;            ///< identifies the model and the caches' types
    std::uint64_t length = 0;         ///< tokens
    std::uint64_t pictures = 0;       ///< pictures and frame pairs
    std::uint64_t places = 0;         ///< tokens of pictures of which some merged patches are left
    std::uint64_t visual_tokens = 0;  ///< rows of features of the pictures
    std::uint64_t logits = 0;         ///< numbers: none, or one for each token of the vocabulary
    std::uint64_t extra = 0;          ///< bytes that the owner added
    std::uint64_t bytes = 0;          ///< size of the whole file
    /// Counts on which the sizes of policies' states depend.
    SavedExtent extent() const {
        return {static_cast<std::int64_t>(length), static_cast<std::int64_t>(visual_tokens),
                static_cast<std::int64_t>(pictures)};
    }
    /// Bytes of a file in which all between header and checksum takes `content` bytes.
    static std::uint64_t file_bytes(std::int64_t content) {
        return sizeof(SavedHeader) + static_cast<std::uint64_t>(content) + sizeof(std::uint64_t);
    }
};

/// Writes a saved sequence to a file, which appears under its name when it is complete.
class StateWriter {
  public:
    /// Throws FileError where there is no room for it.
    StateWriter(const std::string& path, const SavedHeader& header) : file_(path, header.bytes), bytes_(header.bytes) {
        write(std::as_bytes(std::span(&header, 1)));
    }
    void write(std::span<const std::byte> bytes) {
        if (!bytes.empty()) std::memcpy(file_.data() + at_, bytes.data(), bytes.size());
        at_ += bytes.size();
    }
    /// Throws FileError.
    void finish() {
        const std::uint64_t sum = checksum(file_.data(), bytes_ - sizeof sum);
        std::memcpy(file_.data() + bytes_ - sizeof sum, &sum, sizeof sum);
        file_.publish();
    }

  private:
    WritableFile file_;
    std::size_t bytes_, at_ = 0;
};

/// Reads a saved sequence from its file, piece after piece.
class StateReader {
  public:
    /// Checks that the file is whole. Throws FileError where it cannot be read, LoadError where it is damaged or no
    /// saved session of this version.
    explicit StateReader(const std::string& path) : file_(path) {
        const auto bytes = file_.bytes();
        std::uint64_t sum = 0;
        if (bytes.size() >= sizeof header_) std::memcpy(static_cast<void*>(&header_), bytes.data(), sizeof header_);
        const SavedHeader expected;
        if (bytes.size() < sizeof header_ + sizeof sum ||
            std::memcmp(header_.magic, expected.magic, sizeof expected.magic) != 0)
            fail("not a saved session");
        if (header_.version != expected.version)
            fail("saved in version " + std::to_string(header_.version) + " of the format, expected " +
                 std::to_string(expected.version));
        if (header_.bytes != bytes.size())
            fail("expected " + std::to_string(header_.bytes) + " bytes, found " + std::to_string(bytes.size()));
        std::memcpy(&sum, bytes.data() + bytes.size() - sizeof sum, sizeof sum);
        if (sum != checksum(bytes.data(), bytes.size() - sizeof sum)) fail("damaged: its checksum is wrong");
    }
    const SavedHeader& header() const { return header_; }
    /// Copies the next bytes to `out`. The caller knows that there are so many.
    void read(std::span<std::byte> out) {
        if (!out.empty()) std::memcpy(out.data(), file_.bytes().data() + at_, out.size());
        at_ += out.size();
    }
    /// Bytes that the owner added, header().extra of them. The caller knows that the file has so many.
    std::span<const std::byte> extra() const {
        return file_.bytes().last(header_.extra + sizeof(std::uint64_t)).first(header_.extra);
    }
    [[noreturn]] void fail(const std::string& what) const { throw LoadError(file_.path() + ": " + what); }

  private:
    MappedFile file_;
    SavedHeader header_;
    std::size_t at_ = sizeof(SavedHeader);
};

}  // namespace qwen3vl::detail
