#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/config.hpp>

#include <xmmintrin.h>

/// Prefetching of memory; the addresses need not exist.
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

/// Prefetch distances of a stream through memory, in bytes: hardware prefetchers stop at the end of a page. The
/// second-level cache can wait for more lines at once than the first, which takes them over while the arithmetic goes
/// on.
inline constexpr std::int64_t stream_far = 4096, stream_near = 2048;

/// Prefetches the lines that lie stream_far and stream_near behind p.
inline void ask_ahead(const std::byte* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p) + stream_far, _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(p) + stream_near, _MM_HINT_T0);
}

/// Prefetches all lines of the Bytes bytes that a step of a stream reads.
template <int Bytes>
void ask_ahead_of_step(const std::byte* p) {
    QWEN3VL_UNROLL
    for (int line = 0; line < Bytes; line += 64) ask_ahead(p + line);
}

/// Prefetches memory that is read soon, a part of it with each of a number of calls, while something else is computed.
class GradualAsk {
  public:
    GradualAsk() = default;
    /// Memory of `bytes` bytes from `begin` on, which `calls` calls ask for.
    GradualAsk(const std::byte* begin, std::int64_t bytes, std::int64_t calls)
        : next_(begin), lines_(ceil_div(bytes, 64)), step_(ceil_div(lines_, calls)) {}
    /// Asks for the next part; for nothing once all was asked for.
    void operator()() {
        const std::int64_t n = std::min(lines_, step_);
        for (std::int64_t i = 0; i < n; ++i, next_ += 64)
            _mm_prefetch(reinterpret_cast<const char*>(next_), _MM_HINT_T1);
        lines_ -= n;
    }

  private:
    const std::byte* next_ = nullptr;
    std::int64_t lines_ = 0, step_ = 0;
};

}  // namespace qwen3vl::kernels
