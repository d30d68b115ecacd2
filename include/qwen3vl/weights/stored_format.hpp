#pragma once
#include <qwen3vl/weights/traits.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Type-erased weight format for loading: code that walks over a model's parameters is compiled once for all formats.
/// The functions are those of traits<Format> for one Arch.
template <class Team>
struct StoredFormat {
    const char* name;   ///< of the format
    bool row_major;     ///< packed files do not hold it
    int window_layers;  ///< layers of a Streamed format in memory at a time; 0: all are
    /// As traits::bytes.
    std::int64_t (*bytes)(std::int64_t rows, std::int64_t cols);
    /// As traits::is_mapped.
    bool (*is_mapped)(DType);
    bool (*rounds)(DType);  ///< true if packing rounds GGUF's blocks of this type
    /// As weights::load.
    WeightMatrix (*load)(const TensorView&, const std::string& name, std::int64_t rows, std::int64_t cols, Team&,
                         const InputGram*);
    /// As weights::pack.
    void (*pack)(const TensorView&, const std::string& name, std::int64_t rows, std::int64_t cols, Team&,
                 std::byte* out, const InputGram*);
    /// As traits::row.
    void (*row)(const WeightMatrix&, std::int64_t row, float* out);

    /// True if layers come and go while the model runs.
    bool streamed() const { return window_layers > 0; }
};

namespace detail {
/// Formats of less than float32's size that do not hold the blocks of a type round them.
template <class Arch, class Format>
bool rounds_blocks(DType dtype) {
    constexpr std::int64_t rows = 64, cols = 256, exact = rows * cols * static_cast<std::int64_t>(sizeof(float));
    return is_block_type(dtype) && traits<Format>::template bytes<Arch>(rows, cols) < exact &&
           !holds_blocks<Format>(dtype);
}
}  // namespace detail

/// The functions of a slot's format, Streamed or not.
template <class Arch, class Stored, class Team, class Format = typename streaming<Stored>::format>
inline constexpr StoredFormat<Team> stored_format{
    .name = Format::name,
    .row_major = traits<Format>::row_major,
    .window_layers = streaming<Stored>::layers,
    .bytes = &traits<Format>::template bytes<Arch>,
    .is_mapped = [](DType dtype) { return traits<Format>::is_mapped(dtype); },
    .rounds = &detail::rounds_blocks<Arch, Format>,
    .load = &load<Arch, Format, Team>,
    .pack = &pack<Arch, Format, Team>,
    .row = [](const WeightMatrix& w, std::int64_t r, float* out) { traits<Format>::template row<Arch>(w, r, out); },
};

}  // namespace qwen3vl::weights
