#pragma once
#include <qwen3vl/weights/bf16_panels.hpp>
#include <qwen3vl/weights/float_panels.hpp>
#include <qwen3vl/weights/formats.hpp>
#include <qwen3vl/weights/integer_panels.hpp>
#include <qwen3vl/weights/mapped.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// What an algorithm may ask of a format, all for an Arch. Specialisations provide
///   bytes<Arch>(rows, cols)             of a matrix in the format
///   pack<Arch>(view, name, rows, cols, team, out)   a checkpoint's tensor in the format
///   row_major                     whether the format is row-major, as in a checkpoint: then a packed file does not hold it
///   is_mapped(dtype)                    whether tensors of this type are used where they lie; then fits(view) says so of one
///   row<Arch>(matrix, r, out)           one row as float32 (embedding look-up)
///   input_bytes<Arch>(rows, cols), encode<Arch>(input, r, first, count, values)   activations as the kernels read them
///   panel<Arch>(matrix, first, count, input, begin, rows, out, out_stride)        the product, see FloatPanels::panel
/// Every output has the same bits whatever the rows beside it.
template <class Format>
struct traits;

template <>
struct traits<Float32> : FloatPanels<float, DType::f32> {};
template <>
struct traits<Bf16> : Bf16Panels {};
template <>
struct traits<F16> : FloatPanels<f16, DType::f16> {};
template <>
struct traits<Mapped<Float32>> : MappedRows<float, DType::f32> {};
template <>
struct traits<Mapped<Bf16>> : MappedRows<bf16, DType::bf16> {};
template <>
struct traits<Mapped<F16>> : MappedRows<f16, DType::f16> {};
template <Group G>
struct traits<Int8<G>> : IntegerPanels<Int8<G>> {};
template <Group G, Centre C>
struct traits<Int4<G, C>> : IntegerPanels<Int4<G, C>> {};
template <Scales S>
struct traits<NF4<S>> : IntegerPanels<NF4<S>> {};
template <class Inner, Resident R>
struct traits<Paged<Inner, R>> : traits<Inner> {};

/// A checkpoint's tensor in a format to `out`, bytes(rows, cols), on all threads of the team. Where the moments of its columns are given, formats
/// that round by them do. Throws LoadError where a number does not fit the format.
template <class Arch, class Format, class Team>
void pack(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team, std::byte* out,
          [[maybe_unused]] const ColumnMoments* moments = nullptr) {
    using T = traits<Format>;
    if constexpr (requires { T::template pack<Arch>(view, name, rows, cols, team, out, moments); })
        T::template pack<Arch>(view, name, rows, cols, team, out, moments);
    else
        T::template pack<Arch>(view, name, rows, cols, team, out);
}

/// Whether a format gives back the weights of GGUF's blocks unchanged: its groups are those blocks, and fit() finds their scales again.
template <class Format>
constexpr bool holds_blocks(DType) {
    return false;
}
template <>
constexpr bool holds_blocks<Int4<Group{32}, Centre::zero>>(DType d) {
    return d == DType::q4_0;
}
template <>
constexpr bool holds_blocks<Int4<Group{32}, Centre::minimum>>(DType d) {
    return d == DType::q4_1;
}
template <>
constexpr bool holds_blocks<Int8<Group{32}>>(DType d) {
    return d == DType::q8_0;
}

/// A checkpoint's tensor as a matrix [rows, cols] in a format: used where it lies, if the format does that, and then `view` must outlive it; otherwise
/// converted as pack() does. Throws LoadError where a number does not fit the format, OutOfMemory.
template <class Arch, class Format, class Team>
WeightMatrix load(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team, const ColumnMoments* moments = nullptr) {
    using T = traits<Format>;
    if constexpr (requires { T::fits(view); })
        if (T::fits(view)) return WeightMatrix(view.data, rows, cols);
    AlignedBytes memory = aligned_bytes(static_cast<std::size_t>(T::template bytes<Arch>(rows, cols)));
    pack<Arch, Format>(view, name, rows, cols, team, memory.get(), moments);
    return WeightMatrix(std::move(memory), rows, cols);
}

}  // namespace qwen3vl::weights
