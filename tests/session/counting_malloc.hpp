#pragma once
// Counts every allocation of the process by standing in for glibc's malloc family, operator new included, which calls
// it. Include it in one file of a program. Sanitizers bring allocators of their own: QWEN3VL_COUNTS_ALLOCATIONS is 0
// there.
#include <malloc.h>
#include <atomic>
#include <cstddef>
#include <cstdint>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define QWEN3VL_COUNTS_ALLOCATIONS 0
#endif
#endif
#if defined(QWEN3VL_SANITIZED)
#define QWEN3VL_COUNTS_ALLOCATIONS 0
#endif
#ifndef QWEN3VL_COUNTS_ALLOCATIONS
#define QWEN3VL_COUNTS_ALLOCATIONS 1
#endif

namespace qwen3vl_test {

inline std::atomic<std::int64_t> allocations{0}, bytes_held{0}, peak_bytes{0};

inline void* counted(void* p) {
    if (!p) return p;
    ++allocations;
    const std::int64_t now = bytes_held += static_cast<std::int64_t>(malloc_usable_size(p));
    for (std::int64_t peak = peak_bytes; now > peak && !peak_bytes.compare_exchange_weak(peak, now);) {
    }
    return p;
}

}  // namespace qwen3vl_test

#if QWEN3VL_COUNTS_ALLOCATIONS
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t n) noexcept { return qwen3vl_test::counted(__libc_malloc(n)); }
void* calloc(std::size_t n, std::size_t each) noexcept { return qwen3vl_test::counted(__libc_calloc(n, each)); }
void* realloc(void* p, std::size_t n) noexcept {
    if (p) qwen3vl_test::bytes_held -= static_cast<std::int64_t>(malloc_usable_size(p));
    return qwen3vl_test::counted(__libc_realloc(p, n));
}
void* memalign(std::size_t alignment, std::size_t n) noexcept {
    return qwen3vl_test::counted(__libc_memalign(alignment, n));
}
void* aligned_alloc(std::size_t alignment, std::size_t n) noexcept { return memalign(alignment, n); }
void free(void* p) noexcept {
    if (p) qwen3vl_test::bytes_held -= static_cast<std::int64_t>(malloc_usable_size(p));
    __libc_free(p);
}
}
#endif
