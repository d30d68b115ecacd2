#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <qwen3vl/checkpoint/gguf_metadata.hpp>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// The element type of a ggml type number (ggml.h, `enum ggml_type`), or nothing where the library does not read it.
constexpr std::optional<DType> dtype_of_ggml(std::uint32_t type) {
    switch (type) {
        case 0: return DType::f32;
        case 1: return DType::f16;
        case 2: return DType::q4_0;
        case 3: return DType::q4_1;
        case 6: return DType::q5_0;
        case 7: return DType::q5_1;
        case 8: return DType::q8_0;
        case 12: return DType::q4_k;
        case 13: return DType::q5_k;
        case 14: return DType::q6_k;
        case 24: return DType::i8;
        case 25: return DType::i16;
        case 26: return DType::i32;
        case 27: return DType::i64;
        case 28: return DType::f64;
        case 30: return DType::bf16;
        default: return std::nullopt;
    }
}

/// A GGUF file's header. Each tensor is consistent in itself and begins at a multiple of the alignment. The reader
/// checks that it lies within the file.
struct GgufHeader {
    /// Entry of a tensor.
    struct Tensor {
        DType dtype = DType::f32;            ///< element type
        std::vector<std::int64_t> shape;     ///< outermost first: the file's extents in reverse
        std::uint64_t begin = 0, bytes = 0;  ///< begin: from the start of the data
    };
    GgufMetadata metadata;                  ///< all keys of the file
    std::map<std::string, Tensor> tensors;  ///< by name
    std::uint64_t data_begin = 0;           ///< bytes from the start of the file; beyond its end where it has no data
};

/// Reads a header (ggml docs/gguf.md, versions 2 and 3, little-endian). Memory grows with the entries found, which the
/// file has to hold, never with a number that it states.
class GgufParser {
  public:
    /// `bytes` is the whole file, or its start if that holds the header. Throws LoadError; ConfigError for a metadata
    /// value.
    static GgufHeader parse(std::span<const std::byte> bytes, const std::string& file) {
        return GgufParser(bytes, file).header();
    }

  private:
    static constexpr std::uint64_t max_values = 1 << 16, max_tensors = 1 << 17, max_key = 1024, max_name = 256,
                                   max_rank = 4;
    GgufParser(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

    [[noreturn]] void refuse(const std::string& what) const { throw LoadError(file_ + ": " + what); }

    /// The next n bytes of the file.
    std::span<const std::byte> take(std::uint64_t n, const std::string& what) {
        const std::uint64_t left = bytes_.size() - at_;
        if (n > left)
            refuse("truncated: expected " + std::to_string(n) + " bytes of " + what + " at byte " +
                   std::to_string(at_) + ", found " + std::to_string(left));
        const auto part = bytes_.subspan(at_, static_cast<std::size_t>(n));
        at_ += part.size();
        return part;
    }
    template <class T>
    T number(const std::string& what) {
        T value;
        std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
        return value;
    }
    std::string_view text(std::uint64_t most, const std::string& what) {
        const auto length = number<std::uint64_t>("the length of " + what);
        if (length > most)
            refuse(what + ": expected at most " + std::to_string(most) + " bytes, found a length of " +
                   std::to_string(length));
        const auto part = take(length, what);
        return {reinterpret_cast<const char*>(part.data()), part.size()};
    }

    GgufHeader header() {
        const auto magic = take(4, "a GGUF file's first word");
        if (std::memcmp(magic.data(), "GGUF", 4) != 0) refuse("not a GGUF file: it does not begin with \"GGUF\"");
        const auto version = number<std::uint32_t>("version");
        if (version == 0x02000000u || version == 0x03000000u)
            refuse("expected a little-endian GGUF file, found a big-endian one");
        if (version != 2 && version != 3) refuse("expected GGUF version 2 or 3, found " + std::to_string(version));
        const auto tensors = number<std::uint64_t>("tensor_count"), values = number<std::uint64_t>("metadata_kv_count");
        if (tensors > max_tensors)
            refuse("tensor_count: expected at most " + std::to_string(max_tensors) + ", found " +
                   std::to_string(tensors));
        if (values > max_values)
            refuse("metadata_kv_count: expected at most " + std::to_string(max_values) + ", found " +
                   std::to_string(values));
        GgufMetadata::Values metadata;
        for (std::uint64_t i = 0; i < values; ++i) read_value(i, metadata);
        GgufHeader out;
        out.metadata = GgufMetadata(file_, std::move(metadata));
        const std::uint64_t alignment = read_alignment(out.metadata);
        for (std::uint64_t i = 0; i < tensors; ++i) read_tensor(i, alignment, out);
        out.data_begin = (at_ + alignment - 1) / alignment * alignment;
        return out;
    }

    void read_value(std::uint64_t index, GgufMetadata::Values& out) {
        const std::string key(text(max_key, "metadata key " + std::to_string(index)));
        GgufValue value;
        value.element = value_type(key);
        if (value.element == GgufType::array) {
            value.is_array = true;
            value.element = value_type(key);
            value.count = number<std::uint64_t>("the length of array '" + key + "'");
            if (value.element == GgufType::array)
                throw ConfigError(file_, key, "an array of numbers, bools or strings", "an array of arrays");
        }
        const std::string what = "metadata '" + key + "'";
        const std::size_t begin = at_;
        if (const std::size_t each = gguf_type_bytes(value.element)) {
            const auto bytes = checked_mul(value.count, each);
            if (!bytes) throw ConfigError(file_, key, "an array that fits the file", value.type_text());
            value.bytes = take(*bytes, what);
            if (value.element == GgufType::boolean)
                for (const std::byte b : value.bytes)
                    if (std::to_integer<int>(b) > 1)
                        throw ConfigError(file_, key, "bools of 0 or 1", std::to_string(std::to_integer<int>(b)));
        } else {
            for (std::uint64_t i = 0; i < value.count; ++i) text(std::numeric_limits<std::uint64_t>::max(), what);
            value.bytes = bytes_.subspan(begin, at_ - begin);
        }
        if (!out.emplace(key, value).second) throw ConfigError(file_, key, "each metadata key once", "it twice");
    }
    GgufType value_type(const std::string& key) {
        const auto type = number<std::uint32_t>("the type of '" + key + "'");
        if (type >= gguf_types)
            throw ConfigError(file_, key, "a metadata type from 0 to " + std::to_string(gguf_types - 1),
                              std::to_string(type));
        return static_cast<GgufType>(type);
    }

    static std::uint64_t read_alignment(const GgufMetadata& metadata) {
        const std::int64_t a = metadata.integer("general.alignment").value_or(32);
        if (a < 1 || a > (1 << 16) || (a & (a - 1)) != 0)
            metadata.fail("general.alignment", "a power of two up to 65536", std::to_string(a));
        return static_cast<std::uint64_t>(a);
    }

    void read_tensor(std::uint64_t index, std::uint64_t alignment, GgufHeader& out) {
        const std::string name(text(max_name, "the name of tensor " + std::to_string(index)));
        const auto fail = [&](const std::string& expected, const std::string& found) {
            throw LoadError(file_, name, expected, found);
        };
        GgufHeader::Tensor t;
        const auto rank = number<std::uint32_t>("tensor '" + name + "'");
        if (rank < 1 || rank > max_rank) fail("1 to " + std::to_string(max_rank) + " dimensions", std::to_string(rank));
        for (std::uint32_t i = 0; i < rank; ++i) {
            const auto extent = number<std::uint64_t>("tensor '" + name + "'");
            if (extent < 1 || extent >> 63) fail("extents from 1 to 2^63 - 1", std::to_string(extent));
            t.shape.insert(t.shape.begin(), static_cast<std::int64_t>(extent));
        }
        const auto type = number<std::uint32_t>("tensor '" + name + "'");
        const auto dtype = dtype_of_ggml(type);
        if (!dtype)
            fail("a ggml type among F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K",
                 "type " + std::to_string(type));
        t.dtype = *dtype;
        // The product is taken in the order of TensorView::elements(), which then cannot overflow either.
        std::optional<std::uint64_t> elements = 1;
        for (const auto extent : t.shape) {
            elements = checked_mul(*elements, static_cast<std::uint64_t>(extent));
            if (!elements || *elements >= (std::uint64_t{1} << 59))
                fail("less than 2^59 elements", shape_text(t.shape));
        }
        if (t.shape.back() % dtype_block(t.dtype) != 0)
            fail("rows of whole blocks of " + std::to_string(dtype_block(t.dtype)) + " for " +
                     std::string(dtype_name(t.dtype)),
                 shape_text(t.shape));
        t.bytes = *elements / static_cast<std::uint64_t>(dtype_block(t.dtype)) * dtype_bytes(t.dtype);
        t.begin = number<std::uint64_t>("tensor '" + name + "'");
        if (t.begin % alignment != 0)
            fail("an offset that is a multiple of " + std::to_string(alignment), std::to_string(t.begin));
        if (!out.tensors.emplace(name, std::move(t)).second) fail("each name once in the header", "it twice");
    }

    std::span<const std::byte> bytes_;
    const std::string& file_;
    std::size_t at_ = 0;
};

}  // namespace qwen3vl::checkpoint
