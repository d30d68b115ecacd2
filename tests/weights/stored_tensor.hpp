#pragma once
#include <qwen3vl/weights/linear.hpp>
#include <vector>

namespace qwen3vl_test {
namespace q = qwen3vl;

/// A tensor as a file would hold it, `offset` bytes from an aligned address.
struct StoredTensor {
    std::vector<std::byte> memory;
    q::TensorView view;

    StoredTensor(const std::vector<float>& values, q::DType dtype, std::int64_t rows, std::size_t offset = 0)
        : memory(values.size() * q::dtype_bytes(dtype) + offset) {
        view = {
            dtype, {rows, static_cast<std::int64_t>(values.size()) / rows}, memory.data() + offset, "test.safetensors"};
        std::byte* out = memory.data() + offset;
        for (const float v : values)
            q::weights::with_element(dtype, [&]<class T>(T) {
                const T element(v);
                std::memcpy(out, static_cast<const void*>(&element), sizeof element);
                out += sizeof element;
            });
    }
};

/// Rows of activations in a format's layout, with their memory.
template <class Arch, class Format, class Team>
struct EncodedRows {
    std::vector<std::byte> memory;
    q::weights::PackedActivations input;
    EncodedRows(Team& team, q::ConstMatrix x)
        : memory(static_cast<std::size_t>(q::weights::traits<Format>::template activation_bytes<Arch>(x.rows, x.cols)),
                 std::byte{0xff}),
          input{memory.data(), x.rows, x.cols} {
        q::weights::pack_rows<Arch, Format>(team, x, input);
    }
};

/// x · w^T through a format's kernels.
template <class Arch, class Format, class Team>
std::vector<float> product(Team& team, const std::vector<float>& x, std::int64_t m, const q::weights::WeightMatrix& w) {
    const EncodedRows<Arch, Format, Team> in(team, {x.data(), m, w.cols(), w.cols()});
    std::vector<float> y(static_cast<std::size_t>(m * w.rows()), 9.0f);
    q::weights::linear_store<Arch, Format>(team, in.input, w, nullptr, q::Matrix(y.data(), m, w.rows()));
    return y;
}

}  // namespace qwen3vl_test
