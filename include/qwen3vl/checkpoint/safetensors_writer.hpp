#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/output_file.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// Entry of a tensor in a safetensors header: name, element type and shape.
struct TensorSpec {
    std::string name;                 ///< unique in the file
    DType dtype = DType::f32;         ///< element type
    std::vector<std::int64_t> shape;  ///< extents, outermost first
};

/// Takes the next bytes of a tensor.
using ByteSink = std::function<void(std::span<const std::byte>)>;
/// Hands the bytes of the tensor specs[index] to the sink, row-major, in pieces of any size.
using TensorProducer = std::function<void(std::size_t index, const ByteSink& sink)>;

namespace detail {

inline std::uint64_t spec_bytes(const std::string& file, const TensorSpec& t) {
    std::optional<std::uint64_t> n = dtype_bytes(t.dtype);
    for (const auto extent : t.shape) {
        if (n && extent >= 0) n = checked_mul(*n, static_cast<std::uint64_t>(extent));
        if (!n || extent < 0)
            throw LoadError(file, t.name, "a shape of extents from 0 that fits 64 bits", shape_text(t.shape));
    }
    return *n;
}

/// The length and the JSON, padded with spaces so that the data begins at a multiple of 8.
inline std::string safetensors_header(const std::string& file, std::span<const TensorSpec> specs,
                                      const std::vector<std::size_t>& order,
                                      const std::map<std::string, std::string>& metadata) {
    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::set<std::string_view> names;
    std::uint64_t at = 0;
    for (const std::size_t i : order) {
        const TensorSpec& t = specs[i];
        if (t.name == "__metadata__" || !names.insert(t.name).second)
            throw LoadError(file, t.name, "unique names other than __metadata__", "this name");
        const auto end = checked_add(at, spec_bytes(file, t));
        if (!end) throw LoadError(file, t.name, "less than 2^64 bytes of tensors", "more");
        // push_back: unique already, and ordered_json's operator[] would search the whole list each time.
        header.get_ref<nlohmann::ordered_json::object_t&>().push_back(
            {t.name, {{"dtype", dtype_name(t.dtype)}, {"shape", t.shape}, {"data_offsets", {at, *end}}}});
        at = *end;
    }
    std::string json;
    try {
        json = header.dump();
    } catch (const nlohmann::json::exception&) {
        throw LoadError(file + ": a tensor's name or the metadata is not UTF-8");
    }
    json.resize((json.size() + 7) / 8 * 8, ' ');
    std::string prefix(8, '\0');
    for (std::size_t i = 0; i < prefix.size(); ++i) prefix[i] = static_cast<char>(json.size() >> (8 * i) & 0xff);
    return prefix + json;
}

}  // namespace detail

/// Writes a safetensors file tensor by tensor, never holding more than a piece of one. Tensors of wider elements stand
/// first, as the reference orders them, so that each is aligned. The file appears under its name only when complete.
/// Throws FileError, for a full disk too; LoadError where names repeat, or the producer hands over another number of
/// bytes than dtype and shape need. Exceptions of the producer pass through.
inline void write_safetensors(const std::string& path, std::span<const TensorSpec> specs,
                              const TensorProducer& producer,
                              const std::map<std::string, std::string>& metadata = {{"format", "pt"}}) {
    std::vector<std::size_t> order(specs.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return dtype_bytes(specs[a].dtype) > dtype_bytes(specs[b].dtype);
    });
    const std::string header = detail::safetensors_header(path, specs, order, metadata);
    OutputFile file(path);
    file.write(header);
    for (const std::size_t i : order) {
        const std::uint64_t expected = detail::spec_bytes(path, specs[i]);
        std::uint64_t written = 0;
        producer(i, [&](std::span<const std::byte> piece) {
            written += piece.size();
            if (written > expected)
                throw LoadError(path, specs[i].name, std::to_string(expected) + " bytes", "more from its producer");
            file.write(piece);
        });
        if (written != expected)
            throw LoadError(path, specs[i].name, std::to_string(expected) + " bytes",
                            std::to_string(written) + " from its producer");
    }
    file.finish();
}

/// Writes tensors that are in memory.
inline void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, TensorView>>& tensors,
                              const std::map<std::string, std::string>& metadata = {{"format", "pt"}}) {
    std::vector<TensorSpec> specs;
    specs.reserve(tensors.size());
    for (const auto& [name, view] : tensors) specs.push_back({name, view.dtype, view.shape});
    write_safetensors(
        path, specs,
        [&](std::size_t i, const ByteSink& sink) {
            sink({tensors[i].second.data, tensors[i].second.bytes()});
        },
        metadata);
}

}  // namespace qwen3vl::checkpoint
