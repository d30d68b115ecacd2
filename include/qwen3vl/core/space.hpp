#pragma once
#include <cstddef>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Memory of the CPU. Matrices, packed activations, weights and buffers name their memory space in their type. A
/// device's space has the same members, and pointers of its own type, which host code passes on but cannot follow.
struct HostSpace {
    static constexpr const char* name = "host";
    template <class T>
    using pointer = T*;  ///< Address of a T in this space.
    /// Casts bytes to elements of another type, at the same address.
    template <class T>
    static T* cast(std::byte* p) {
        return reinterpret_cast<T*>(p);
    }
};

namespace detail {
template <class T>
struct memory_space {
    using type = HostSpace;
};
template <class T>
requires requires { typename T::Space; }
struct memory_space<T> {
    using type = typename T::Space;
};
}  // namespace detail

/// Memory space of a memory policy or of a set of operations: T::Space, or the host's.
template <class T>
using space_of = typename detail::memory_space<T>::type;

}  // namespace qwen3vl
