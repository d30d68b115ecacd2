#pragma once
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <qwen3vl/core/error.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Uninitialised floats on a cache-line boundary.
using AlignedFloats = std::unique_ptr<float[], decltype(&std::free)>;

/// Uninitialised bytes on a cache-line boundary.
using AlignedBytes = std::unique_ptr<std::byte[], decltype(&std::free)>;

/// Throws OutOfMemory where the system gives none.
inline AlignedBytes aligned_bytes(std::size_t count) {
    const std::size_t bytes = (count + 63) / 64 * 64;
    void* p = std::aligned_alloc(64, bytes ? bytes : 64);
    if (!p) throw OutOfMemory("cannot allocate " + std::to_string(bytes) + " bytes");
    return {static_cast<std::byte*>(p), &std::free};
}

/// Throws OutOfMemory where the system gives none.
inline AlignedFloats aligned_floats(std::size_t count) {
    return {reinterpret_cast<float*>(aligned_bytes(count * sizeof(float)).release()), &std::free};
}

}  // namespace qwen3vl
