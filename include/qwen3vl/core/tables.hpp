#pragma once
#include <concepts>
#include <qwen3vl/core/parameter.hpp>
#include <span>
#include <string>
#include <vector>

/// Tables that a policy needs beside the checkpoint's weights: learned positions, routers, bases.
namespace qwen3vl::inline QWEN3VL_ABI {

/// A policy's tables as float32, in the order in which it names them.
using Tables = std::span<const std::vector<float>>;

namespace detail {
struct NoTable {
    void operator()(const std::string&, const Shape&) const {}
};
}  // namespace detail

/// P::for_each_table(dims, f) calls f(name, shape) for each of its tables; names are the policy's own, the model puts the layer's before them.
template <class P, class Dims>
concept NeedsTables = requires(const Dims& d) {
    P::for_each_table(d, detail::NoTable{});
};

}  // namespace qwen3vl
