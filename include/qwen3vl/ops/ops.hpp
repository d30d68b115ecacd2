#pragma once
#include <qwen3vl/ops/cpu.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

namespace detail {
template <class Execution, class Arch>
struct operations {
    using type = ops::Cpu<Arch, typename Execution::Team>;
};
template <class Execution, class Arch>
requires requires { typename Execution::template Operations<Arch>; }
struct operations<Execution, Arch> {
    using type = typename Execution::template Operations<Arch>;
};
}  // namespace detail

/// The set of operations of an execution policy: Execution::Operations<Arch>, or the CPU's.
template <class Execution, class Arch>
using operations_of = typename detail::operations<Execution, Arch>::type;

}  // namespace qwen3vl
