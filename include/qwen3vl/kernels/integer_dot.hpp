#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <qwen3vl/kernels/simd.hpp>

/// Exact dot products between codes of weights (unsigned bytes, four columns to a 32-bit lane) and quantised
/// activations (signed bytes).
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// A vector of Arch::floats 32-bit lanes.
template <class Arch>
using ivec = decltype(isa::set_int(Arch{}, 0));

/// Four bytes of x in every lane.
template <class Arch>
ivec<Arch> broadcast4(const std::byte* x) {
    std::int32_t four;
    std::memcpy(&four, x, sizeof four);
    return isa::set_int(Arch{}, four);
}

/// Multiplies one lane's four codes with four activations. `Narrow`: codes are below 16, which some targets can
/// multiply faster.
///   steps                steps for four columns; each takes one vector of weights and four bytes of an activation row
///   put(x, out, stride)  stores four activations, a step's four bytes `stride` bytes apart
///   prepare(w, out)      converts a vector of codes to `steps` vectors of weights
///   start(n), add(sum, w, x), total(sum, n)
///                        the running sum, which begins at n, and its value in 32 bits
///   flush_columns        columns after which a sum must be given out, 0: never
template <class Arch, bool Narrow>
struct IntegerDot;

/// Targets with dot products of bytes.
template <class Arch, bool Narrow>
requires Arch::dot_int8 struct IntegerDot<Arch, Narrow> {
    static constexpr int steps = 1, flush_columns = 0;
    static void put(const std::int8_t* x, std::byte* out, std::int64_t) { std::memcpy(out, x, 4); }
    static void prepare(ivec<Arch> w, ivec<Arch>* out) { out[0] = w; }
    static ivec<Arch> start(std::int32_t n) { return isa::set_int(Arch{}, n); }
    static ivec<Arch> add(ivec<Arch> sum, ivec<Arch> w, ivec<Arch> x) { return isa::dot_bytes(Arch{}, sum, w, x); }
    static ivec<Arch> total(ivec<Arch> sum, std::int32_t) { return sum; }
};

/// Codes of any size without such an instruction: 16-bit products, of which pairs add up in 32 bits. Columns 0 and 2
/// are the first step, 1 and 3 the second.
template <class Arch>
requires(!Arch::dot_int8) struct IntegerDot<Arch, false> {
    static constexpr int steps = 2, flush_columns = 0;
    static void put(const std::int8_t* x, std::byte* out, std::int64_t stride) {
        const std::int16_t even[2] = {x[0], x[2]}, odd[2] = {x[1], x[3]};
        std::memcpy(out, even, sizeof even);
        std::memcpy(out + stride, odd, sizeof odd);
    }
    static void prepare(ivec<Arch> w, ivec<Arch>* out) {
        out[0] = isa::and_bits(Arch{}, w, isa::set_int(Arch{}, 0x00ff00ff));
        out[1] = isa::template shift_right16<8>(Arch{}, w);
    }
    static ivec<Arch> start(std::int32_t n) { return isa::set_int(Arch{}, n); }
    static ivec<Arch> add(ivec<Arch> sum, ivec<Arch> w, ivec<Arch> x) { return isa::add_products16(Arch{}, sum, w, x); }
    static ivec<Arch> total(ivec<Arch> sum, std::int32_t) { return sum; }
};

/// Codes below 16: a pair of products is at most 2 * 15 * 127, so that eight of them add up exactly in 16 bits.
template <class Arch>
requires(!Arch::dot_int8) struct IntegerDot<Arch, true> {
    static constexpr int steps = 1, flush_columns = 32;
    static void put(const std::int8_t* x, std::byte* out, std::int64_t) { std::memcpy(out, x, 4); }
    static void prepare(ivec<Arch> w, ivec<Arch>* out) { out[0] = w; }
    static ivec<Arch> start(std::int32_t) { return isa::set_int(Arch{}, 0); }
    static ivec<Arch> add(ivec<Arch> sum, ivec<Arch> w, ivec<Arch> x) { return isa::add_products8(Arch{}, sum, w, x); }
    static ivec<Arch> total(ivec<Arch> sum, std::int32_t n) {
        return isa::add_int32(Arch{}, isa::multiply_pairs(Arch{}, sum, isa::set_int(Arch{}, 0x00010001)),
                              isa::set_int(Arch{}, n));
    }
};

}  // namespace qwen3vl::kernels
