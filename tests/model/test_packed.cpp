#include <filesystem>
#include <fstream>
#include <qwen3vl/model/load.hpp>
#include "prompts.hpp"

using namespace qwen3vl_test;
namespace fs = std::filesystem;

namespace packed_test {

using M = Model<models::Tiny, bundles::int4>;

/// A copy of a checkpoint and an empty folder for its packed form, both gone with this.
struct Folders {
    fs::path root = fs::temp_directory_path() / ("qwen3vl_packed_" + std::to_string(::getpid()));
    std::string checkpoint = (root / "checkpoint").string(), packed = (root / "packed").string();
    Folders() {
        fs::remove_all(root);
        fs::create_directories(root);
        fs::copy(test_data("/tiny"), checkpoint, fs::copy_options::recursive);
        fs::permissions(checkpoint + "/model.safetensors", fs::perms::owner_write, fs::perm_options::add);
        fs::create_directory(packed);
    }
    ~Folders() { fs::remove_all(root); }

    std::vector<fs::path> files() const {
        std::vector<fs::path> out;
        for (const auto& entry : fs::directory_iterator(packed)) out.push_back(entry.path());
        return out;
    }
};

struct Loaded {
    std::vector<float> logits;
    std::string log;
};

Loaded load(const Folders& f, const std::string& packed) {
    Loaded out;
    const auto model = M::load(
        f.checkpoint,
        {.log = [&](std::string_view line) { out.log += std::string(line) + '\n'; }, .threads = 2, .packed = packed});
    Prompt prompt;
    prompt << words(9);
    out.logits = run(model, prompt);
    return out;
}

/// Changes one byte of a file.
void damage(const fs::path& path, std::uintmax_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char c = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(c ^ 0x40));
}

TEST_CASE("packed weights are kept and found again") {
    const Folders f;
    const Loaded plain = load(f, "");
    CHECK(f.files().empty());
    CHECK(plain.log.empty());
    const Loaded first = load(f, f.packed);
    CHECK(testing::same_bits(first.logits, plain.logits));
    CHECK(first.log.empty());
    REQUIRE(f.files().size() == 1);
    const auto file = f.files()[0];
    const auto written = fs::last_write_time(file);
    const auto bytes = fs::file_size(file);
    const Loaded second = load(f, f.packed);
    CHECK(testing::same_bits(second.logits, plain.logits));
    CHECK(second.log.empty());
    CHECK(fs::last_write_time(file) == written);

    SECTION("a damaged file is made anew") {
        for (const std::uintmax_t at : {std::uintmax_t{0}, std::uintmax_t{9}, std::uintmax_t{17}, std::uintmax_t{33},
                                        std::uintmax_t{5000}, bytes / 2, bytes - 70}) {
            CAPTURE(at);
            damage(file, at);
            const Loaded again = load(f, f.packed);
            CHECK(testing::same_bits(again.logits, plain.logits));
            CHECK_THAT(again.log, Catch::Contains(file.string()) && Catch::Contains("made anew"));
            CHECK(load(f, f.packed).log.empty());
        }
    }
    SECTION("so is one that was cut short or went on") {
        for (const std::uintmax_t size : {std::uintmax_t{0}, std::uintmax_t{10}, bytes / 2, bytes - 1, bytes + 1}) {
            fs::resize_file(file, size);
            const Loaded again = load(f, f.packed);
            CHECK(testing::same_bits(again.logits, plain.logits));
            CHECK_THAT(again.log, Catch::Contains("made anew"));
            CHECK(fs::file_size(file) == bytes);
        }
    }
    SECTION("and one of weights that have changed since") {
        damage(f.checkpoint + "/model.safetensors", fs::file_size(f.checkpoint + "/model.safetensors") - 1001);
        const Loaded again = load(f, f.packed);
        CHECK_THAT(again.log, Catch::Contains("another state of the checkpoint"));
        CHECK(load(f, f.packed).log.empty());
        CHECK(f.files().size() == 1);
    }
    SECTION("another bundle has a file of its own") {
        const auto model = Model<models::Tiny, bundles::int8>::load(f.checkpoint, {.packed = f.packed});
        CHECK(f.files().size() == 2);
    }
}

TEST_CASE("a folder that is not there is made with those above it") {
    const Folders f;
    const std::string folder = f.packed + "/a/b/";
    const Loaded plain = load(f, ""), found = load(f, folder);
    CHECK(testing::same_bits(found.logits, plain.logits));
    CHECK(found.log.empty());
    CHECK(std::distance(fs::directory_iterator(folder), fs::directory_iterator()) == 1);
}

TEST_CASE("a folder that cannot be made is refused by name") {
    const Folders f;
    std::ofstream(f.packed + "/file") << "x";
    const auto error = [&](const std::string& folder) {
        try {
            load(f, folder);
        } catch (const FileError& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    CHECK_THAT(error(f.packed + "/file"),
               Catch::Contains("/file: expected a folder for packed weights") && Catch::Contains("another file"));
    CHECK_THAT(error(f.packed + "/file/below"), Catch::Contains("/file/below: expected a folder for packed weights") &&
                                                    Catch::Contains("Not a directory"));
}

TEST_CASE("a packed file that cannot be written costs nothing else") {
    const Folders f;
    const Loaded plain = load(f, f.packed);
    REQUIRE(f.files().size() == 1);
    const auto file = f.files()[0];
    fs::remove(file);
    fs::create_directories(file / "in the way");
    const Loaded found = load(f, f.packed);
    CHECK(testing::same_bits(found.logits, plain.logits));
    CHECK_THAT(found.log, Catch::Contains("not a regular file") && Catch::Contains("not kept"));
    CHECK(f.files().size() == 1);
}

}  // namespace packed_test
