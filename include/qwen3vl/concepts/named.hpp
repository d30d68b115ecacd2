#pragma once
#include <concepts>
#include <cstdint>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/space.hpp>
#include <vector>

/// Requirements on a policy of each slot. Members over an Arch are required for the one that the program is compiled
/// for; the conformance tests run the others. policies/check_slots.hpp tells which member a policy lacks.
namespace qwen3vl::inline QWEN3VL_ABI::concepts {

/// Policies have a name, which memory plans, benches and messages show.
template <class P>
concept Named = requires {
    { P::name } -> std::convertible_to<const char*>;
};

/// Stand-in for a weight format, where a policy's member templates take one.
struct AnyFormat {};
/// Stand-in for a set of operations.
struct AnyOps {
    using Space = HostSpace;  ///< those of the host
};
/// Stand-in for what a mask lets a query see.
struct AnyVisible {};
/// Stand-in for a head's tiles.
struct AnyTiles {};
/// A policy's parameters, with a stand-in for a matrix.
template <class P>
using VisionParameters = parameters_of<P, qwen3vl::detail::AnyParameter, std::vector<float>>;
/// Stand-in for a task of a team.
struct AnyTask {
    /// Takes a task's number and a thread's.
    void operator()(std::int64_t task, int thread) const;
};

}  // namespace qwen3vl::concepts
