#pragma once
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <qwen3vl/core/error.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// Types of a GGUF metadata value (ggml docs/gguf.md, `gguf_metadata_value_type`).
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
inline constexpr std::uint32_t gguf_types = 13;  ///< number of value types: a file's type is below it

/// Bytes of a value of fixed size; 0 for strings and arrays.
constexpr std::size_t gguf_type_bytes(GgufType t) {
    constexpr unsigned char bytes[gguf_types] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return bytes[static_cast<std::size_t>(t)];
}
/// Name of a value type in messages.
constexpr std::string_view gguf_type_name(GgufType t) {
    constexpr std::string_view names[gguf_types] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                                    "int32",  "float32", "bool",   "string", "array",
                                                    "uint64", "int64",   "float64"};
    return names[static_cast<std::size_t>(t)];
}

/// A metadata value, still in its file: `bytes` holds `count` values of type `element`, one where it is no array. Each
/// string stands behind its length. Its maker has checked that they fit, so that reading them needs no further check.
struct GgufValue {
    GgufType element = GgufType::u8;   ///< of the value, or of the array's members
    bool is_array = false;             ///< an array, of whatever length
    std::uint64_t count = 1;           ///< members of an array; 1 for a single value
    std::span<const std::byte> bytes;  ///< the values as the file has them, little-endian

    /// Type in messages: "uint32", "an array of 3 string".
    std::string type_text() const {
        const std::string name(gguf_type_name(element));
        return is_array ? "an array of " + std::to_string(count) + " " + name : name;
    }
};

/// Metadata of a GGUF file: typed access by key. An absent key gives an empty value; one of another type throws
/// ConfigError, which names file, key, expected and found.
class GgufMetadata {
  public:
    using Values = std::map<std::string, GgufValue, std::less<>>;  ///< Values by key.
    GgufMetadata() = default;
    /// `file` is the name that errors state.
    GgufMetadata(std::string file, Values values) : file_(std::move(file)), values_(std::move(values)) {}

    /// Name that errors state.
    const std::string& file() const { return file_; }
    /// All values, whatever they are.
    const Values& values() const { return values_; }
    /// The value of a key, or null.
    const GgufValue* find(std::string_view key) const {
        const auto it = values_.find(key);
        return it == values_.end() ? nullptr : &it->second;
    }

    /// A value of any integer type that fits 63 bits.
    std::optional<std::int64_t> integer(const std::string& key) const {
        const GgufValue* v = scalar(key, "an integer");
        if (!v) return std::nullopt;
        const auto i = integer_at(*v, 0);
        if (!i) fail(key, "an integer below 2^63", v->type_text());
        return i;
    }
    /// A float32 or float64. A float32 is read as the shortest decimal number that it stands for (1e-6,
    /// not 9.99999997e-7), since it was written from one.
    std::optional<double> number(const std::string& key) const {
        const GgufValue* v = scalar(key, "a number");
        return v ? std::optional(number_at(key, *v, 0)) : std::nullopt;
    }
    /// A bool.
    std::optional<bool> boolean(const std::string& key) const {
        const GgufValue* v = scalar(key, "bool");
        if (!v) return std::nullopt;
        if (v->element != GgufType::boolean) fail(key, "bool", v->type_text());
        return read<std::uint8_t>(*v, 0) != 0;
    }
    /// The string lives as long as the file is mapped.
    std::optional<std::string_view> string(const std::string& key) const {
        const GgufValue* v = scalar(key, "a string");
        if (!v) return std::nullopt;
        if (v->element != GgufType::string) fail(key, "a string", v->type_text());
        std::size_t at = 0;
        return next_string(*v, at);
    }

    /// Arrays of at most `most` members.
    std::optional<std::vector<std::int64_t>> integers(const std::string& key, std::uint64_t most) const {
        return members<std::int64_t>(key, "integers", most, [&](const GgufValue& v, std::size_t i) {
            const auto n = integer_at(v, i);
            if (!n) fail(key, "an array of integers below 2^63", v.type_text());
            return *n;
        });
    }
    /// Numbers as number() reads them, at most `most`.
    std::optional<std::vector<double>> numbers(const std::string& key, std::uint64_t most) const {
        return members<double>(key, "numbers", most,
                               [&](const GgufValue& v, std::size_t i) { return number_at(key, v, i); });
    }
    /// Bools, at most `most`.
    std::optional<std::vector<bool>> booleans(const std::string& key, std::uint64_t most) const {
        return members<bool>(key, "bools", most, [&](const GgufValue& v, std::size_t i) {
            if (v.element != GgufType::boolean) fail(key, "an array of bools", v.type_text());
            return read<std::uint8_t>(v, i) != 0;
        });
    }
    /// The strings live as long as the file is mapped.
    std::optional<std::vector<std::string_view>> strings(const std::string& key, std::uint64_t most) const {
        std::size_t at = 0;
        return members<std::string_view>(key, "strings", most, [&](const GgufValue& v, std::size_t) {
            if (v.element != GgufType::string) fail(key, "an array of strings", v.type_text());
            return next_string(v, at);
        });
    }

    /// Throws the ConfigError that says what a key should have had.
    [[noreturn]] void fail(const std::string& key, const std::string& expected, const std::string& found) const {
        throw ConfigError(file_, key, expected, found);
    }

  private:
    template <class T>
    static T read(const GgufValue& v, std::size_t index) {
        T value;
        std::memcpy(&value, v.bytes.data() + index * sizeof(T), sizeof(T));
        return value;
    }
    static std::string_view next_string(const GgufValue& v, std::size_t& at) {
        std::uint64_t length = 0;
        std::memcpy(&length, v.bytes.data() + at, sizeof length);
        const std::string_view text(reinterpret_cast<const char*>(v.bytes.data()) + at + sizeof length,
                                    static_cast<std::size_t>(length));
        at += sizeof length + text.size();
        return text;
    }
    /// Reads value `i` as an integer; nullopt where it is none or too large.
    static std::optional<std::int64_t> integer_at(const GgufValue& v, std::size_t i) {
        switch (v.element) {
            case GgufType::u8: return read<std::uint8_t>(v, i);
            case GgufType::i8: return read<std::int8_t>(v, i);
            case GgufType::u16: return read<std::uint16_t>(v, i);
            case GgufType::i16: return read<std::int16_t>(v, i);
            case GgufType::u32: return read<std::uint32_t>(v, i);
            case GgufType::i32: return read<std::int32_t>(v, i);
            case GgufType::i64: return read<std::int64_t>(v, i);
            case GgufType::u64: {
                const auto n = read<std::uint64_t>(v, i);
                return n >> 63 ? std::nullopt : std::optional(static_cast<std::int64_t>(n));
            }
            default: return std::nullopt;
        }
    }
    double number_at(const std::string& key, const GgufValue& v, std::size_t i) const {
        if (v.element == GgufType::f64) return read<double>(v, i);
        if (v.element != GgufType::f32) fail(key, v.is_array ? "an array of numbers" : "a number", v.type_text());
        return shortest(read<float>(v, i));
    }
    static double shortest(float value) {
        char text[32];
        const auto end = std::to_chars(text, text + sizeof text, value).ptr;
        double out = 0;
        if (std::isfinite(value)) std::from_chars(text, end, out);
        return std::isfinite(value) ? out : static_cast<double>(value);
    }

    const GgufValue* scalar(const std::string& key, const char* expected) const {
        const GgufValue* v = find(key);
        if (v && v->is_array) fail(key, expected, v->type_text());
        return v;
    }
    template <class T, class Get>
    std::optional<std::vector<T>> members(const std::string& key, const std::string& what, std::uint64_t most,
                                          const Get& get) const {
        const GgufValue* v = find(key);
        if (!v) return std::nullopt;
        if (!v->is_array) fail(key, "an array of " + what, v->type_text());
        if (v->count > most) fail(key, "at most " + std::to_string(most) + " " + what, std::to_string(v->count));
        std::vector<T> list;
        list.reserve(static_cast<std::size_t>(v->count));
        for (std::size_t i = 0; i < v->count; ++i) list.push_back(get(*v, i));
        return list;
    }

    std::string file_;
    Values values_;
};

}  // namespace qwen3vl::checkpoint
