#pragma once
#include <algorithm>
#include <array>
#include <qwen3vl/core/half.hpp>
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Columns of a weight matrix that share a scale, as a template argument; 0: the whole row.
struct Group {
    int columns = 0;  ///< 0: the whole row
};

/// Layers of weights in memory at a time, the one in use included, as a template argument.
struct Resident {
    int layers = 3;  ///< at least 2
};

/// Weight formats as policies. The traits of a format define what it does; algorithms name none. All but Mapped
/// re-order the weights once, at load, into panels of as many rows as the Arch has float32 lanes.
namespace weights {

/// float32, 4 bytes a weight.
struct Float32 {
    static constexpr const char* name = "float32";
};
/// bfloat16, 2 bytes a weight. Activations and arithmetic are float32; on an Arch with bfloat16 dot products or tiles,
/// activations are rounded to bfloat16 and sums are float32.
struct Bf16 {
    static constexpr const char* name = "bf16";
};
/// binary16, 2 bytes a weight, arithmetic in float32. Weights beyond 65504 are refused at load.
struct F16 {
    static constexpr const char* name = "f16";
};
/// Uses a mapped checkpoint of Float32, Bf16 or F16 in place: nothing is copied, and loading takes no time. A prompt is
/// read at about half the speed of the panels.
template <class Format>
struct Mapped {
    static constexpr const char* name = Format::name[0] == 'b'   ? "mapped_bf16"
                                        : Format::name[1] == 'l' ? "mapped_float32"
                                                                 : "mapped_f16";
};

/// Signed 8-bit codes, symmetric: weight = scale * code with code in [-127, 127]. One float32 scale a row, or one
/// float16 scale for a group of 32, 64 or 128 columns. Activations are quantised to 8 bits by token and group (128
/// columns where the scale is the row's); sums of products are exact.
template <Group G = Group{}>
struct Int8 {
    static constexpr const char* name = G.columns == 0    ? "int8"
                                        : G.columns == 32 ? "int8_g32"
                                        : G.columns == 64 ? "int8_g64"
                                                          : "int8_g128";
};

/// Position of zero among a group's codes.
enum class ZeroPoint {
    symmetric,   ///< weight = scale * (code - 8), the scale such that the largest magnitude is -8 or 8 of it, as in
                 ///< GGUF's Q4_0
    asymmetric,  ///< weight = scale * code + minimum, as in GGUF's Q4_1
};

/// Unsigned 4-bit codes with a float16 scale for a group of 32, 64 or 128 columns; activations as with Int8.
template <Group G = Group{32}, ZeroPoint C = ZeroPoint::symmetric>
struct Int4 {
    static constexpr const char* name = C == ZeroPoint::symmetric ? (G.columns == 32   ? "int4"
                                                                     : G.columns == 64 ? "int4_g64"
                                                                                       : "int4_g128")
                                                                  : (G.columns == 32   ? "int4_min"
                                                                     : G.columns == 64 ? "int4_min_g64"
                                                                                       : "int4_min_g128");
};

/// Storage of the scales.
enum class Scales {
    f16,   ///< float16
    bits8  ///< 8 bits, between the smallest and the largest of the row ("double quantisation", Dettmers et al., 2023)
};

/// 4-bit NormalFloat (Dettmers et al., 2023, "QLoRA"): weight = largest magnitude of a block of 64 columns *
/// codebook[code]. The products with 8-bit activations take the codebook rounded to 1/127, which moves a weight by 0.4
/// % of its block's largest at most (see weights::nf4_codebook).
template <Scales S = Scales::f16>
struct NF4 {
    static constexpr const char* name = S == Scales::f16 ? "nf4" : "nf4_dq";
};

/// Keeps the matrices of another format in a file: while the model runs, a window of layers is in memory, and the
/// layers that come next are read ahead. Kernels, bits and packed file are those of the other format, which is not
/// Mapped. Needs LoadOptions::packed; model/stream_window.hpp says how it reads and what happens where the disk fails.
/// Decoder (or layers of it), embedding and tower may be streamed each for itself; they share one window.
///
///     using Format = q::weights::Streamed<q::weights::Bf16>;  // of 4.3 GB of weights, 0.3 are in memory
///     using Small = q::Model<q::models::Qwen3VL_2B, q::PoliciesWithWeights<Format>>;
template <class Inner, Resident R = Resident{}>
struct Streamed {
    static_assert(
        R.layers > 1,
        "qwen3vl: slot weights: Streamed reads nothing ahead into a window of one layer; Resident needs layers > 1");
    /// The characters of `name`.
    static constexpr auto letters = [] {
        constexpr std::string_view prefix = "streamed_", inner = Inner::name;
        std::array<char, prefix.size() + inner.size() + 1> all{};
        std::copy(inner.begin(), inner.end(), std::copy(prefix.begin(), prefix.end(), all.begin()));
        return all;
    }();
    static constexpr const char* name = letters.data();
};

/// Splits a slot's format into `format`, which algorithms compute with, and `layers`, the layers that its window holds;
/// 0: its matrices are in memory as a whole.
template <class F>
struct streaming {
    using format = F;                 ///< format that kernels know
    static constexpr int layers = 0;  ///< 0: all are in memory
};
template <class Inner, Resident R>
struct streaming<Streamed<Inner, R>> {
    using format = Inner;                    ///< format that kernels know
    static constexpr int layers = R.layers;  ///< of the window
};
/// True if a format's matrices are read layer by layer while the model runs.
template <class F>
inline constexpr bool is_streamed = streaming<F>::layers > 0;

/// Every format that has kernels of its own: feeds the conformance tests, the benches and the tools' bundle names.
using all = list<Float32, Bf16, F16, Mapped<Float32>, Mapped<Bf16>, Mapped<F16>, Int8<>, Int8<Group{32}>, Int4<>,
                 Int4<Group{64}>, Int4<Group{128}>, Int4<Group{32}, ZeroPoint::asymmetric>, NF4<>, NF4<Scales::bits8>>;

}  // namespace weights
}  // namespace qwen3vl
