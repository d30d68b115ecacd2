#include <chrono>
#include <cstring>
#include <filesystem>
#include <qwen3vl/checkpoint/checkpoint.hpp>
#include <qwen3vl/checkpoint/gguf_tokenizer.hpp>
#include "catch.hpp"
#include "gguf_parts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl;

namespace gguf_split_test {

const std::string folder = test_data("/gguf/"), shapes = folder + "shapes/shapes-bf16.gguf",
                  mmproj = folder + "shapes/mmproj-shapes-bf16.gguf";

void check_same(const checkpoint::Checkpoint& found, const checkpoint::Checkpoint& expected) {
    REQUIRE(found.tensors().size() == expected.tensors().size());
    for (const auto& [name, t] : expected.tensors()) {
        const TensorView* other = found.find(name);
        CAPTURE(name);
        REQUIRE(other);
        CHECK(other->dtype == t.dtype);
        REQUIRE(other->shape == t.shape);
        CHECK(std::memcmp(other->data, t.data, t.bytes()) == 0);
    }
    CHECK(found.config().json() == expected.config().json());
}

/// The error of opening three parts of q4_0.gguf, of which `change` may alter, add or remove one.
template <class Change>
std::string error_of(const Change& change, std::size_t opened = 0) {
    const TemporaryFolder temporary;
    const GgufParts parts(folder + "q4_0.gguf", 3);
    const auto paths = parts.write(temporary, "m");
    change(parts, temporary);
    return message_of<Error>([&] { checkpoint::GgufFile::open(paths[opened]); });
}

TEST_CASE("a split GGUF model is the whole one, whichever part is named") {
    const TemporaryFolder temporary;
    const std::string source = folder + "q4_k_m.gguf";
    const auto whole = checkpoint::Checkpoint::open(source);
    const auto text = checkpoint::GgufTokenizer::read(whole.gguf()->model().metadata());
    for (const std::size_t count : {std::size_t{2}, std::size_t{7}}) {
        const auto paths = GgufParts(source, count).write(temporary, "model");
        for (const auto& path : paths) {
            CAPTURE(path);
            const auto split = checkpoint::Checkpoint::open(path);
            check_same(split, whole);
            CHECK(split.files() == paths);
            CHECK(split.folder() == path);
            CHECK(checkpoint::read_config(path).json() == whole.config().json());
            const auto tokenizer = checkpoint::GgufTokenizer::read(split.gguf()->model().metadata());
            CHECK(tokenizer->encode("a split model") == text->encode("a split model"));
        }
    }
}

TEST_CASE("a first part may hold no tensors") {
    const TemporaryFolder temporary;
    const GgufParts one(folder + "q4_0.gguf", 1), two(folder + "q4_0.gguf", 2);
    GgufBytes metadata;
    one.add_metadata(metadata);
    GgufBytes tensors = two.content(1);
    const auto others = checkpoint::GgufFile::open(temporary.write("first.gguf", two.content(0).file()));
    for (const auto& [name, t] : others.tensors()) two.add(tensors, name);
    const auto first = temporary.write(two.name("m", 0), GgufParts::marked(metadata, 0, 2, one.tensors()).file());
    temporary.write(two.name("m", 1), GgufParts::marked(tensors, 1, 2, one.tensors()).file());
    check_same(checkpoint::Checkpoint::open(first), checkpoint::Checkpoint::open(folder + "q4_0.gguf"));
}

TEST_CASE("a vision part may be split too, and is found beside the model") {
    const TemporaryFolder temporary;
    const auto model = GgufParts(shapes, 2).write(temporary, "shapes");
    const auto vision = GgufParts(mmproj, 3).write(temporary, "mmproj-shapes");
    const auto whole = checkpoint::Checkpoint::open(shapes);
    check_same(checkpoint::Checkpoint::open(model[1]), whole);
    const auto named = checkpoint::Checkpoint::open(model[0], vision[2]);
    check_same(named, whole);
    CHECK(named.files() == std::vector<std::string>{model[0], model[1], vision[0], vision[1], vision[2]});
}

TEST_CASE("the fingerprint covers every part") {
    const TemporaryFolder temporary;
    const auto paths = GgufParts(folder + "q4_0.gguf", 3).write(temporary, "m");
    const auto fingerprint = [&] { return checkpoint::Checkpoint::open(paths[0]).fingerprint(); };
    auto before = fingerprint();
    CHECK(checkpoint::Checkpoint::open(paths[2]).fingerprint() == before);
    for (const auto& path : paths) {
        std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) - std::chrono::hours(1));
        const auto after = fingerprint();
        CHECK(after != before);
        before = after;
    }
}

TEST_CASE("missing parts are named") {
    const auto without = [](std::initializer_list<std::size_t> gone, std::size_t opened) {
        return error_of(
            [&](const GgufParts& parts, const TemporaryFolder& in) {
                for (const auto i : gone) std::filesystem::remove(in.file(parts.name("m", i)));
            },
            opened);
    };
    CHECK_THAT(without({1}, 0),
               contains("m-00001-of-00003.gguf: expected all 3 parts of the model beside it, found no ") &&
                   contains("m-00002-of-00003.gguf"));
    CHECK_THAT(without({0}, 2), contains("m-00003-of-00003.gguf: expected all 3 parts") && contains("found no ") &&
                                    contains("m-00001-of-00003.gguf"));
    CHECK_THAT(without({0, 2}, 1), contains("m-00001-of-00003.gguf and 1 more missing"));
    CHECK_THAT(without({0}, 0), contains("m-00001-of-00003.gguf: cannot open"));
}

TEST_CASE("parts that disagree are refused by file and key") {
    const auto with = [](std::size_t i, const auto& make) {
        return error_of([&](const GgufParts& parts, const TemporaryFolder& in) {
            in.write(parts.name("m", i), make(parts).file());
        });
    };
    const auto marked = [&](std::size_t i, std::size_t no, std::size_t count, std::size_t tensors) {
        return with(i, [&](const GgufParts& parts) { return GgufParts::marked(parts.content(i), no, count, tensors); });
    };
    REQUIRE(marked(1, 1, 3, 20).empty());
    CHECK_THAT(marked(1, 2, 3, 20),
               contains("m-00002-of-00003.gguf: field 'split.no': expected 1 as the name of the file says, found 2"));
    CHECK_THAT(marked(0, 1, 3, 20), contains("m-00001-of-00003.gguf: field 'split.no': expected 0"));
    CHECK_THAT(
        marked(2, 2, 4, 20),
        contains("m-00003-of-00003.gguf: field 'split.count': expected 3 as the name of the file says, found 4"));
    CHECK_THAT(marked(0, 0, 65535, 20), contains("m-00001-of-00003.gguf: field 'split.count': expected 3"));
    CHECK_THAT(
        marked(2, 2, 3, 21),
        contains(
            "m-00003-of-00003.gguf: field 'split.tensors.count': expected 20, as many as all parts hold, found 21"));
    CHECK_THAT(marked(0, 0, 3, 2000000000),
               contains("m-00001-of-00003.gguf: field 'split.tensors.count': expected 20"));
    CHECK_THAT(with(1, [](const GgufParts& parts) { return parts.content(1); }),
               contains("'split.count': expected 3") && contains("found nothing"));
    CHECK_THAT(
        with(0, [](const GgufParts& parts) { return parts.content(0).u16("split.no", 0).u16("split.count", 3); }),
        contains("'split.tensors.count': expected 20") && contains("found nothing"));
    CHECK_THAT(
        with(2, [](const GgufParts& parts) { return parts.content(2).u16("split.no", 2).string("split.count", "3"); }),
        contains("field 'split.count': expected an integer below 2^63, found string"));
    CHECK_THAT(with(2, [](const GgufParts& parts) { return parts.part(0); }),
               contains("m-00003-of-00003.gguf: field 'split.no': expected 2"));
    CHECK_THAT(
        with(2,
             [](const GgufParts& parts) {
                 GgufBytes twice = parts.content(2);
                 parts.add(twice, "blk.0.attn_k.weight");
                 return GgufParts::marked(twice, 2, 3, 21);
             }),
        contains(
            "m-00003-of-00003.gguf: tensor 'blk.0.attn_k.weight': expected each tensor in one part, found it in") &&
            contains("m-00001-of-00003.gguf too"));
    CHECK_THAT(
        error_of([](const GgufParts& parts, const TemporaryFolder& in) { in.write(parts.name("m", 1), "GGUF"); }),
        contains("m-00002-of-00003.gguf: truncated"));
}

TEST_CASE("a later part may repeat what the first says, not gainsay it") {
    const auto with = [](const auto& add) {
        return error_of([&](const GgufParts& parts, const TemporaryFolder& in) {
            GgufBytes bytes = parts.part(2);
            add(bytes);
            in.write(parts.name("m", 2), bytes.file());
        });
    };
    CHECK(with([](GgufBytes& b) { b.string("general.architecture", "llama").u32("llama.block_count", 2); }).empty());
    CHECK(with([](GgufBytes& b) { b.u32("general.alignment", 32).string("a key of its own", "x"); }).empty());
    const auto refused = [&](const auto& add, const std::string& expected, const std::string& found) {
        CHECK_THAT(with(add), contains("m-00003-of-00003.gguf: field '" + expected + " as in ") &&
                                  contains("m-00001-of-00003.gguf, found " + found));
    };
    refused([](GgufBytes& b) { b.string("general.architecture", "qwen3"); }, "general.architecture': expected 'llama'",
            "'qwen3'");
    refused([](GgufBytes& b) { b.u32("general.architecture", 1); }, "general.architecture': expected 'llama'", "1");
    refused([](GgufBytes& b) { b.u32("llama.block_count", 3); }, "llama.block_count': expected 2", "3");
    refused([](GgufBytes& b) { b.f32("llama.rope.freq_base", 1); }, "llama.rope.freq_base': expected another float32",
            "another float32");
    refused([](GgufBytes& b) { b.strings("tokenizer.ggml.tokens", {"a"}); },
            "tokenizer.ggml.tokens': expected an array of 464 string", "an array of 1 string");
}

TEST_CASE("a part needs the name that says which it is") {
    const TemporaryFolder temporary;
    const GgufParts parts(folder + "q4_0.gguf", 3);
    const auto error = [&](const std::string& name, std::size_t count) {
        const auto path = temporary.write(name, GgufParts::marked(parts.content(0), 0, count, parts.tensors()).file());
        return message_of<ConfigError>([&] { checkpoint::GgufFile::open(path); });
    };
    for (const char* name :
         {"m.gguf", "m-0001-of-0003.gguf", "m-00001-of-00003", "-00001-of-00003.gguf.gguf", "m-00004-of-00003.gguf",
          "m-00000-of-00003.gguf", "m-+0001-of-00003.gguf", "m-0x001-of-00003.gguf", "m-00001_of_00003.gguf"}) {
        CAPTURE(name);
        CHECK_THAT(
            error(name, 3),
            contains("'split.count': expected 1, or the name that a part is written with, NAME-00001-of-00003.gguf"));
    }
    CHECK(error("m.gguf", 1).empty());
    CHECK(error("m.gguf", 0).empty());
    const auto huge = temporary.write("h-00001-of-00003.gguf", GgufBytes().u32("split.count", 4000000000u).file());
    CHECK_THAT(message_of<ConfigError>([&] { checkpoint::GgufFile::open(huge); }),
               contains("'split.count': expected at most 65535 parts, found 4000000000"));
    const auto negative =
        temporary.write("n-00001-of-00003.gguf",
                        GgufBytes().entry("split.count", checkpoint::GgufType::i32, GgufBytes::number(-3)).file());
    CHECK_THAT(message_of<ConfigError>([&] { checkpoint::GgufFile::open(negative); }),
               contains("'split.count': expected at most 65535 parts, found -3"));
}

}  // namespace gguf_split_test
