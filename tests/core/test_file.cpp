#include <cstdio>
#include <filesystem>
#include <fstream>
#include <qwen3vl/core/file.hpp>
#include "catch.hpp"

using namespace qwen3vl;

namespace file_test {
/// A file of its own, gone at the end.
struct TemporaryFile {
    std::string path =
        (std::filesystem::temp_directory_path() / ("qwen3vl_core_" + std::to_string(::getpid()))).string();
    explicit TemporaryFile(const std::string& content) { std::ofstream(path, std::ios::binary) << content; }
    ~TemporaryFile() { std::remove(path.c_str()); }
};

TEST_CASE("a mapped file holds the file's bytes") {
    const std::string content("one\0two", 7);
    const TemporaryFile file(content);
    MappedFile a(file.path);
    CHECK(a.bytes().size() == 7);
    CHECK(a.path() == file.path);
    CHECK(read_file(file.path) == content);
    const auto* data = a.bytes().data();
    MappedFile b(std::move(a));
    CHECK(b.bytes().data() == data);
    MappedFile c;
    c = std::move(b);
    CHECK(c.bytes().data() == data);
    CHECK(static_cast<char>(c.bytes()[6]) == 'o');
}

TEST_CASE("an empty file maps to nothing") {
    const TemporaryFile file("");
    CHECK(MappedFile(file.path).bytes().empty());
    CHECK(read_file(file.path).empty());
}

TEST_CASE("what cannot be mapped is named") {
    CHECK_THROWS_AS(MappedFile("/nonexistent/file"), FileError);
    CHECK_THROWS_WITH(MappedFile("/nonexistent/file"),
                      Catch::Contains("/nonexistent/file") && Catch::Contains("No such file"));
    CHECK_THROWS_WITH(MappedFile("/"), Catch::Contains("not a regular file"));
    CHECK_THROWS_WITH(MappedFile("/dev/zero"), Catch::Contains("not a regular file"));
}

TEST_CASE("read_file keeps to its limit") {
    const TemporaryFile file("12345");
    CHECK(read_file(file.path, 5) == "12345");
    CHECK_THROWS_WITH(read_file(file.path, 4), Catch::Contains("5 bytes") && Catch::Contains("at most 4"));
}

}  // namespace file_test
