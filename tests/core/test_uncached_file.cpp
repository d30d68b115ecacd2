#include <filesystem>
#include <fstream>
#include <qwen3vl/core/aligned.hpp>
#include <qwen3vl/core/uncached_file.hpp>
#include "temporary_folder.hpp"

using namespace qwen3vl;

namespace uncached_file_test {

/// Room that begins where reads may.
struct Room {
    std::unique_ptr<std::byte, decltype(&std::free)> data{static_cast<std::byte*>(std::aligned_alloc(4096, 1 << 16)),
                                                          &std::free};
    std::string text(std::size_t n) const { return {reinterpret_cast<const char*>(data.get()), n}; }
};

std::string numbered(std::size_t n) {
    std::string s(n, '\0');
    for (std::size_t i = 0; i < n; ++i) s[i] = static_cast<char>(i * 7 + i / 251);
    return s;
}

TEST_CASE("an uncached file gives its bytes at any offset that is a multiple") {
    const TemporaryFolder folder;
    const std::string content = numbered(20000), path = folder.write("f", content);
    const UncachedFile file(path);
    CHECK(file.size() == 20000);
    CHECK(file.path() == path);
    const Room room;
    for (const std::int64_t offset : {0, 4096, 16384})
        for (const std::int64_t bytes : {1, 511, 3616, 20000}) {
            if (offset + bytes > 20000) continue;
            file.read(offset, bytes, room.data.get());
            CHECK(room.text(static_cast<std::size_t>(bytes)) ==
                  content.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(bytes)));
        }
}

TEST_CASE("an uncached file that ends too early says so") {
    const TemporaryFolder folder;
    const std::string path = folder.write("f", numbered(20000));
    UncachedFile file(path, "the file");
    const Room room;
    CHECK_THROWS_AS(file.read(16384, 3617, room.data.get()), FileError);
    CHECK_THROWS_WITH(file.read(16384, 3617, room.data.get()),
                      contains("the file: expected 3617 bytes at 16384") && contains("after 3616"));
    std::filesystem::resize_file(path, 5000);
    CHECK_THROWS_WITH(file.read(4096, 10000, room.data.get()), contains("after 904"));
    CHECK_THROWS_WITH(file.read(8192, 1, room.data.get()), contains("after 0"));
    std::filesystem::resize_file(path, 20000);
    const UncachedFile moved(std::move(file));
    CHECK_NOTHROW(moved.read(16384, 3616, room.data.get()));
}

TEST_CASE("a file system without such reads is read through the cache") {
    const UncachedFile file("/proc/version");
    CHECK_FALSE(file.direct());
    const Room room;
    file.read(0, 6, room.data.get());
    CHECK(room.text(6) == "Linux ");
}

TEST_CASE("what cannot be read uncached is named") {
    const TemporaryFolder folder;
    CHECK_THROWS_WITH(UncachedFile(folder.file("none")), contains("none") && contains("cannot open"));
    CHECK_THROWS_WITH(UncachedFile(folder.path()), contains("not a regular file"));
}

}  // namespace uncached_file_test
