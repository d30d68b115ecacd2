#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/json/json_events.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// The element type of a safetensors name such as "BF16", or nothing.
inline std::optional<DType> parse_dtype(std::string_view name) {
    for (int i = 0; i <= static_cast<int>(DType::u64); ++i) {
        if (dtype_name(static_cast<DType>(i)) == name) return static_cast<DType>(i);
    }
    return std::nullopt;
}

/// A safetensors file's header. Each entry is consistent in itself: end - begin is the size that dtype and shape need.
/// The reader checks that the entries fit the file.
struct SafetensorsHeader {
    /// Entry of a tensor.
    struct Tensor {
        DType dtype = DType::f32;          ///< element type
        std::vector<std::int64_t> shape;   ///< extents, outermost first; empty: one number
        std::uint64_t begin = 0, end = 0;  ///< bytes from the start of the data
    };
    std::map<std::string, Tensor> tensors;        ///< by name
    std::map<std::string, std::string> metadata;  ///< `__metadata__`: free text by key
    std::size_t data_begin = 0;                   ///< bytes from the start of the file
};

namespace detail {

/// Reads the header's JSON event by event, so that memory grows with the tensors found and never with what else the
/// text holds.
class SafetensorsSax : public json_reader::JsonEvents {
  public:
    SafetensorsSax(SafetensorsHeader& header, const std::string& file) : header_(header), file_(file) {}

    bool null() override { return scalar("null"); }
    bool boolean(bool v) override { return scalar(v ? "true" : "false"); }
    bool number_integer(number_integer_t v) override { return scalar(std::to_string(v)); }
    bool number_float(number_float_t, const string_t& text) override { return scalar(text); }
    bool binary(binary_t&) override { return scalar("binary data"); }

    bool number_unsigned(number_unsigned_t v) override {
        if (list_ == nullptr) return scalar(std::to_string(v));
        if (v > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return scalar(std::to_string(v));
        if (list_->size() == max_rank) fail(field_, "at most " + std::to_string(max_rank) + " numbers", "more");
        list_->push_back(static_cast<std::int64_t>(v));
        return true;
    }

    bool string(string_t& v) override {
        if (where_ == Where::metadata) {
            if (!header_.metadata.emplace(field_, std::move(v)).second)
                fail("__metadata__", "each key once", "'" + field_ + "' twice");
            return true;
        }
        if (where_ != Where::tensor || list_ != nullptr || field_ != "dtype")
            return scalar("the string \"" + v.substr(0, 40) + "\"");
        dtype_ = parse_dtype(v);
        if (!dtype_) fail("dtype", "a known element type such as BF16, F16 or F32", "\"" + v.substr(0, 40) + "\"");
        return true;
    }

    bool start_object(std::size_t) override {
        switch (where_) {
            case Where::outside: where_ = Where::top; return true;
            case Where::top:
                where_ = name_ == "__metadata__" ? Where::metadata : Where::tensor;
                dtype_.reset();
                shape_.reset();
                offsets_.reset();
                return true;
            default: return scalar("an object");
        }
    }

    bool key(string_t& v) override {
        if (where_ == Where::top) {
            if (v.size() > max_name)
                throw LoadError(file_, v.substr(0, 40) + "…",
                                "a name of at most " + std::to_string(max_name) + " bytes", std::to_string(v.size()));
            name_ = std::move(v);
            if (name_ == "__metadata__" ? metadata_seen_ : header_.tensors.contains(name_))
                throw LoadError(file_, name_, "each name once in the header", "it twice");
            metadata_seen_ |= name_ == "__metadata__";
            return true;
        }
        field_ = std::move(v);
        if (where_ != Where::tensor) return true;
        if (field_ != "dtype" && field_ != "shape" && field_ != "data_offsets")
            throw LoadError(file_, name_, "the fields dtype, shape and data_offsets", "'" + field_.substr(0, 40) + "'");
        if ((field_ == "dtype" && dtype_) || (field_ == "shape" && shape_) || (field_ == "data_offsets" && offsets_))
            fail(field_, "the field once", "it twice");
        return true;
    }

    bool start_array(std::size_t) override {
        if (where_ != Where::tensor || list_ != nullptr || field_ == "dtype") return scalar("an array");
        list_ = &(field_ == "shape" ? shape_ : offsets_).emplace();
        return true;
    }

    bool end_array() override {
        list_ = nullptr;
        return true;
    }

    bool end_object() override {
        if (where_ == Where::tensor) finish_tensor();
        where_ = where_ == Where::top ? Where::outside : Where::top;
        return true;
    }

    bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
        throw LoadError(file_ + ": the header is not valid JSON at its byte " + std::to_string(position));
    }

  private:
    enum class Where { outside, top, metadata, tensor };
    static constexpr std::size_t max_rank = 8;  // checkpoints hold rank 5 at most
    static constexpr std::size_t max_name = 1024;

    [[noreturn]] void fail(const std::string& field, const std::string& expected, const std::string& found) const {
        throw LoadError(file_, name_, field + " with " + expected, found);
    }

    /// Refuses a value that may not stand where it stands.
    bool scalar(const std::string& found) const {
        switch (where_) {
            case Where::outside: throw LoadError(file_ + ": expected an object as the header, found " + found);
            case Where::top: throw LoadError(file_, name_, "an object", found);
            case Where::metadata:
                throw LoadError(file_, name_, "strings alone", "'" + field_.substr(0, 40) + "' with " + found);
            default:
                fail(field_, field_ == "dtype" ? "the name of an element type" : "integers from 0 to 2^63 - 1", found);
        }
    }

    void finish_tensor() {
        if (!dtype_) fail("dtype", "a value", "none");
        if (!shape_) fail("shape", "a value", "none");
        if (!offsets_) fail("data_offsets", "a value", "none");
        if (offsets_->size() != 2) fail("data_offsets", "two numbers", std::to_string(offsets_->size()));
        // The product is taken in the order of TensorView::elements(), which then cannot overflow either.
        std::optional<std::uint64_t> bytes = dtype_bytes(*dtype_);
        for (const auto extent : *shape_) {
            bytes = checked_mul(*bytes, static_cast<std::uint64_t>(extent));
            if (!bytes || *bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
                fail("shape", "less than 2^63 bytes", shape_text(*shape_));
        }
        const auto begin = static_cast<std::uint64_t>((*offsets_)[0]), end = static_cast<std::uint64_t>((*offsets_)[1]);
        if (end < begin) fail("data_offsets", "a begin before the end", shape_text(*offsets_));
        if (end - begin != *bytes) {
            throw LoadError(
                file_, name_,
                std::to_string(*bytes) + " bytes for " + std::string(dtype_name(*dtype_)) + " " + shape_text(*shape_),
                std::to_string(end - begin));
        }
        header_.tensors.emplace(name_, SafetensorsHeader::Tensor{*dtype_, std::move(*shape_), begin, end});
    }

    SafetensorsHeader& header_;
    const std::string& file_;
    Where where_ = Where::outside;
    bool metadata_seen_ = false;
    std::string name_, field_;
    std::optional<DType> dtype_;
    std::optional<std::vector<std::int64_t>> shape_, offsets_;
    std::vector<std::int64_t>* list_ = nullptr;
};

}  // namespace detail

/// The header of a safetensors file: `bytes` is the whole file, or its start if that holds the header. Throws
/// LoadError.
inline SafetensorsHeader parse_safetensors_header(std::span<const std::byte> bytes, const std::string& file) {
    constexpr std::uint64_t max_length = 100'000'000;  // the reference's MAX_HEADER_SIZE
    constexpr std::size_t prefix = 8;
    if (bytes.size() < prefix)
        throw LoadError(file + ": expected a safetensors file, which begins with 8 bytes of length, found " +
                        std::to_string(bytes.size()) + " bytes");
    std::uint64_t length = 0;
    for (std::size_t i = prefix; i-- > 0;) length = length << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    if (length > max_length)
        throw LoadError(file + ": expected a safetensors header of at most " + std::to_string(max_length) +
                        " bytes, found " + std::to_string(length));
    if (length > bytes.size() - prefix) {
        throw LoadError(file + ": truncated: the header has " + std::to_string(length) + " bytes, the file " +
                        std::to_string(bytes.size()) + " in all");
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + prefix, static_cast<std::size_t>(length));
    if (!text.starts_with('{')) throw LoadError(file + ": not a safetensors file: the header is no JSON object");
    SafetensorsHeader header;
    header.data_begin = prefix + static_cast<std::size_t>(length);
    detail::SafetensorsSax sax(header, file);
    json_reader::read_json(text, sax);
    return header;
}

}  // namespace qwen3vl::checkpoint
