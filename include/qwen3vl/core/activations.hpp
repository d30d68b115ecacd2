#pragma once
#include <cstddef>
#include <qwen3vl/core/tensor.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Activations of the rows that pass the decoder's layers together, in memory of a space that the workspace planned.
/// Between two layers, x, cosines and sines hold what the next layer reads; a policy that runs there may use the rest.
template <class Space = HostSpace>
struct Activations {
    using Matrix = BasicMatrix<float, Space>;                   ///< Rows of float32 in the space.
    using Bytes = typename Space::template pointer<std::byte>;  ///< Pointer to bytes in the space.
    using Floats = typename Space::template pointer<float>;     ///< Pointer to float32 in the space.
    Matrix x;                                                   ///< [rows, hidden] the residual stream
    Bytes input{};          ///< rows of hidden or q_dim columns, as the layer's weights read them
    Bytes inner{};          ///< rows of ffn columns, likewise
    Matrix qkv;             ///< [rows, q_dim + 2 kv_dim]
    Floats queries{};       ///< by chunk [kv_heads, count, group, channels] rotated, scaled, padded
    Matrix attended;        ///< [rows, q_dim]
    Matrix cosines, sines;  ///< [rows, head_dim / 2]
    Floats scratch{};       ///< for attention, each thread's part
    Floats rows{};          ///< the operations' scratch, text::row_floats(d) for each thread
};

}  // namespace qwen3vl
