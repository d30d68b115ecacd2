#pragma once
#include <qwen3vl/weights/bf16_panels.hpp>
#include <qwen3vl/weights/float_panels.hpp>
#include <qwen3vl/weights/formats.hpp>
#include <qwen3vl/weights/integer_panels.hpp>
#include <qwen3vl/weights/mapped.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Operations of a weight format, all for an Arch. Specialisations provide
///   bytes<Arch>(rows, cols)               bytes of a matrix in the format
///   pack<Arch>(view, name, rows, cols, team, out)
///                                         converts a checkpoint's tensor to the format
///   row_major                             true if row-major, as in a checkpoint: packed files then do not hold it
///   is_mapped(dtype)                      true if tensors of this type are used where they lie; fits(view) then
///                                         tells for one tensor
///   row<Arch>(matrix, r, out)             one row as float32 (embedding look-up)
///   activation_bytes<Arch>(rows, cols)    bytes of activations as the kernels read them
///   pack_activations<Arch>(input, r, first, count, values)
///                                         converts activations to that layout
///   gemm_panel<Arch>(matrix, first, count, input, begin, rows, out, out_stride)
///                                         the product, see FloatPanels::gemm_panel
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
template <Group G, ZeroPoint C>
struct traits<Int4<G, C>> : IntegerPanels<Int4<G, C>> {};
template <Scales S>
struct traits<NF4<S>> : IntegerPanels<NF4<S>> {};
template <class Inner, Resident R>
struct traits<Streamed<Inner, R>> : traits<Inner> {};

/// Converts a checkpoint's tensor to the format in `out`, bytes(rows, cols), on all threads of the team. Formats that
/// round by the moments of a tensor's columns use them if given. Throws LoadError where a number does not fit the
/// format.
template <class Arch, class Format, class Team>
void pack(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team,
          std::byte* out, [[maybe_unused]] const InputGram* moments = nullptr) {
    using T = traits<Format>;
    if constexpr (requires { T::template pack<Arch>(view, name, rows, cols, team, out, moments); })
        T::template pack<Arch>(view, name, rows, cols, team, out, moments);
    else
        T::template pack<Arch>(view, name, rows, cols, team, out);
}

/// True if a format gives back the weights of GGUF's blocks unchanged: its groups are those blocks, and fit() finds
/// their scales again.
template <class Format>
constexpr bool holds_blocks(DType) {
    return false;
}
/// Q4_0: groups of 32 without a minimum.
template <>
constexpr bool holds_blocks<Int4<Group{32}, ZeroPoint::symmetric>>(DType d) {
    return d == DType::q4_0;
}
/// Q4_1: groups of 32 with a minimum.
template <>
constexpr bool holds_blocks<Int4<Group{32}, ZeroPoint::asymmetric>>(DType d) {
    return d == DType::q4_1;
}
/// Q8_0: groups of 32.
template <>
constexpr bool holds_blocks<Int8<Group{32}>>(DType d) {
    return d == DType::q8_0;
}

/// Loads a checkpoint's tensor as a matrix [rows, cols] in a format. Used where it lies if the format does that, and
/// then `view` must outlive it; otherwise converted as pack() does. Throws LoadError where a number does not fit the
/// format, OutOfMemory.
template <class Arch, class Format, class Team>
WeightMatrix load(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team,
                  const InputGram* moments = nullptr) {
    using T = traits<Format>;
    if constexpr (requires { T::fits(view); })
        if (T::fits(view)) return WeightMatrix(view.data, rows, cols);
    AlignedBytes memory = aligned_bytes(static_cast<std::size_t>(T::template bytes<Arch>(rows, cols)));
    pack<Arch, Format>(view, name, rows, cols, team, memory.get(), moments);
    return WeightMatrix(std::move(memory), rows, cols);
}

}  // namespace qwen3vl::weights
