#include <algorithm>
#include <array>
#include <qwen3vl/core/scratch_file.hpp>
#include "temporary_folder.hpp"

using namespace qwen3vl;

namespace scratch_file_test {
constexpr std::size_t block = ScratchFile::block;

template <std::size_t Blocks>
struct alignas(block) Bytes : std::array<std::byte, Blocks * block> {};

TEST_CASE("a scratch file gives back what was written, and leaves nothing behind") {
    const TemporaryFolder folder;
    ScratchFile first(folder.path(), 16 * block);
    CHECK(std::filesystem::is_empty(folder.path()));
    ScratchFile file(std::move(first));
    Bytes<3> out, in{};
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(i * 7 + i / block);
    file.write(5 * block, out);
    file.write(13 * block, out);
    file.read(5 * block, in);
    CHECK(in == out);
    file.read(12 * block, in);
    CHECK(std::all_of(in.begin(), in.begin() + block, [](std::byte b) { return b == std::byte{0}; }));
    CHECK(std::equal(in.begin() + block, in.end(), out.begin()));
    Bytes<1> last;
    file.read(15 * block, last);
    CHECK(std::equal(last.begin(), last.end(), out.begin() + 2 * block));
    CHECK_THROWS_AS(file.read(16 * block, last), FileError);
}

TEST_CASE("a scratch file that there is no room for is refused, with what was asked for") {
    const TemporaryFolder folder;
    CHECK_THAT(message_of<FileError>([&] { ScratchFile(folder.path(), std::int64_t{1} << 60); }),
               contains(folder.path() + ": a scratch file of 1152921504606846976 bytes") && contains("no room"));
    CHECK(std::filesystem::is_empty(folder.path()));
    CHECK_THAT(message_of<FileError>([&] { ScratchFile(folder.file("none"), block); }),
               contains("cannot create: No such file or directory"));
}

}  // namespace scratch_file_test
