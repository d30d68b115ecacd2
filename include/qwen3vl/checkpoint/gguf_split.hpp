#pragma once
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <qwen3vl/checkpoint/gguf_metadata.hpp>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <string_view>
#include <system_error>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// The name of one of the parts that a GGUF model was split into: STEM-00002-of-00003.gguf is the second of three
/// (llama.cpp src/llama.cpp, `llama_split_path`; gguf-py/gguf/gguf_writer.py, `SHARD_NAME_FORMAT`).
struct GgufPartName {
    static constexpr std::int64_t most_parts = 65535;  ///< split.count is an uint16

    std::string stem;                    ///< with the folder
    std::int64_t number = 1, count = 1;  ///< from 1 to count; at most most_parts

    /// Parses a path; nullopt where it is not of this form.
    static std::optional<GgufPartName> of(std::string_view path) {
        constexpr std::string_view form = "-00001-of-00001.gguf";
        if (path.size() <= form.size()) return std::nullopt;
        const std::string_view tail = path.substr(path.size() - form.size());
        GgufPartName name{.stem = std::string(path.substr(0, path.size() - form.size()))};
        const auto read = [&](std::size_t at, std::int64_t& value) {
            const auto [end, error] = std::from_chars(tail.data() + at, tail.data() + at + 5, value);
            return error == std::errc() && end == tail.data() + at + 5 && value >= 1 && value <= most_parts;
        };
        if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || !tail.ends_with(".gguf")) return std::nullopt;
        if (!read(1, name.number) || !read(10, name.count) || name.number > name.count) return std::nullopt;
        return name;
    }

    /// The path of part `n`, from 1.
    std::string path(std::int64_t n) const {
        char tail[64];
        std::snprintf(tail, sizeof tail, "-%05lld-of-%05lld.gguf", static_cast<long long>(n),
                      static_cast<long long>(count));
        return stem + tail;
    }
};

/// Checks the keys split.*, a file's place among the parts of its model.
class GgufSplit {
  public:
    /// The parts of the model that a file belongs to, or nothing where the file is the whole. Throws ConfigError where
    /// the keys disagree with the file's name, FileError where a part is missing.
    static std::optional<GgufPartName> parts(const std::string& path, const GgufMetadata& metadata) {
        const std::int64_t count = metadata.integer(count_key).value_or(0);
        const std::string found = std::to_string(count), most = std::to_string(GgufPartName::most_parts);
        if (count < 0 || count > GgufPartName::most_parts)
            metadata.fail(count_key, "at most " + most + " parts", found);
        if (count <= 1) return std::nullopt;
        const auto name = GgufPartName::of(path);
        const std::string form = GgufPartName{.stem = "NAME", .count = count}.path(1);
        if (!name)
            metadata.fail(count_key, "1, or the name that a part is written with, " + form,
                          found + " and another name");
        check(*name, name->number, metadata);
        require_all(*name);
        return name;
    }

    /// Throws ConfigError unless a file says that it is part `number`, from 1, of so many.
    static void check(const GgufPartName& name, std::int64_t number, const GgufMetadata& metadata) {
        const auto expect = [&](const char* key, std::int64_t expected) {
            const auto found = metadata.integer(key);
            if (found == expected) return;
            metadata.fail(key, std::to_string(expected) + " as the name of the file says",
                          found ? std::to_string(*found) : "nothing");
        };
        expect(count_key, name.count);
        expect("split.no", number - 1);
    }

    /// Throws ConfigError where a later part gives a key another value than the first, as the part of another model
    /// does. The keys of a part alone, split.* and the alignment, are not compared.
    static void check_same(const GgufMetadata& first, const GgufMetadata& later) {
        for (const auto& [key, value] : later.values()) {
            if (key.starts_with("split.") || key == "general.alignment") continue;
            const GgufValue* other = first.find(key);
            if (!other) continue;
            const bool alike = other->element == value.element && other->is_array == value.is_array;
            if (alike && std::ranges::equal(other->bytes, value.bytes)) continue;
            later.fail(key, shown(first, key, *other) + " as in " + first.file(), shown(later, key, value));
        }
    }

    /// Throws ConfigError unless a part says that all have so many tensors together; only the first has to say it.
    static void check_tensors(const GgufMetadata& metadata, std::int64_t number, std::size_t tensors) {
        const char* const key = "split.tensors.count";
        const auto found = metadata.integer(key);
        if (found == static_cast<std::int64_t>(tensors) || (!found && number > 1)) return;
        metadata.fail(key, std::to_string(tensors) + ", as many as all parts hold",
                      found ? std::to_string(*found) : "nothing");
    }

  private:
    static constexpr const char* count_key = "split.count";

    /// A string's text or an integer; of other values the type.
    static std::string shown(const GgufMetadata& metadata, const std::string& key, const GgufValue& value) {
        if (value.is_array) return value.type_text();
        switch (value.element) {
            case GgufType::string: return "'" + std::string(metadata.string(key)->substr(0, 60)) + "'";
            case GgufType::f32:
            case GgufType::f64:
            case GgufType::u64:
            case GgufType::boolean: return "another " + value.type_text();
            default: return std::to_string(*metadata.integer(key));
        }
    }

    static void require_all(const GgufPartName& name) {
        std::string first;
        std::int64_t missing = 0;
        std::error_code error;
        for (std::int64_t n = 1; n <= name.count; ++n) {
            const std::string path = name.path(n);
            if (!std::filesystem::exists(path, error) && missing++ == 0) first = path;
        }
        if (missing == 0) return;
        const std::string more = missing == 1 ? "" : " and " + std::to_string(missing - 1) + " more missing";
        throw FileError(name.path(name.number) + ": expected all " + std::to_string(name.count) +
                        " parts of the model beside it, found no " + first + more);
    }
};

}  // namespace qwen3vl::checkpoint
