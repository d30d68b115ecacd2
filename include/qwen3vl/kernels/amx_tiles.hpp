#pragma once
#include <algorithm>
#include <qwen3vl/kernels/integer_tile.hpp>
#include <qwen3vl/kernels/prefetch.hpp>

/// Products in AMX tiles: 16 rows of activations by 16 rows of weights, 64 bytes of columns a step, in 2 x 2 tiles at
/// once. Defined where this file is compiled for arch::amx; declared everywhere, so that templates can name them.
namespace qwen3vl::inline QWEN3VL_ABI::kernels {

inline constexpr int amx_rows = 16;  ///< rows of a tile, of activations and of weights alike

/// Configures the thread's tile registers for activations of `rows` rows and steps of `step_bytes` bytes of columns;
/// releases them when destroyed.
class AmxTiles {
  public:
    /// Configures at once; `rows` is at most amx_rows, `step_bytes` at most 64.
    AmxTiles(int rows, int step_bytes) : rows_(rows), step_(step_bytes) { configure(); }
    ~AmxTiles();
    AmxTiles(const AmxTiles&) = delete;
    AmxTiles& operator=(const AmxTiles&) = delete;

    /// Configures for another number of rows.
    void set_rows(int rows) {
        if (rows == rows_) return;
        rows_ = rows;
        configure();
    }

  private:
    struct alignas(64) Configuration {
        std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
        std::uint16_t bytes[16] = {};
        std::uint8_t rows[16] = {};
    };
    void configure() const;
    int rows_, step_;
};

/// Rows of a tile of quantised activations: codes [columns / 64][rows][64], scales and starts [flushes][rows].
template <class Kind>
struct AmxIntegerRows {
    const std::byte* codes;              ///< signed bytes
    const float* scales;                 ///< of each row and flush
    const typename Kind::Start* starts;  ///< sums that a flush begins with, as IntegerKind::Start
};

/// Computes integer_tile for a tile of `rows` activations and two vectors of weights, four columns to a quad. Sums
/// within a flush are the same integers.
template <class Arch, class Kind>
void amx_integer_tile(const IntegerBlock& block, int step_bytes, std::int64_t rows, const AmxIntegerRows<Kind>& x,
                      const std::byte* w, const float* w_scales, const float* w_minima, bool first, float* out,
                      std::int64_t out_stride);

/// out [rows, 2 * 16] (+)= x · w^T over `columns` columns of bfloat16, a multiple of 32 or padded with zeros. x lies in
/// steps [columns / 32][rows][32], of 32 rows (two tiles) or 16 at most; w in pairs of columns [columns / 2][32]. Sums
/// as TDPBF16PS makes them, in ascending order.
template <class Arch, bool Pair>
void amx_bf16_tile(std::int64_t columns, std::int64_t rows, const std::byte* x, const std::byte* w, bool first,
                   float* out, std::int64_t out_stride);

/// Computes amx_bf16_tile for one row of x, with the same bits, in vectors: a single row waits for w, which tiles
/// cannot prefetch.
template <class Arch>
void amx_bf16_row(std::int64_t columns, const std::byte* x, const std::byte* w, float* out);

#if defined(__AMX_TILE__) && defined(__AMX_INT8__) && defined(__AMX_BF16__)

inline AmxTiles::~AmxTiles() { _tile_release(); }
inline void AmxTiles::configure() const {
    Configuration c;
    for (int i = 0; i < 8; ++i) {
        c.bytes[i] = static_cast<std::uint16_t>(i == 4 || i == 5 ? step_ : 64);  // 4, 5: activations
        c.rows[i] = static_cast<std::uint8_t>(i >= 6 ? step_ / 4 : rows_);       // 6, 7: weights
    }
    asm volatile("" : : "r"(&c) : "memory");  // GCC 12 does not know how much of it is read
    _tile_loadconfig(&c);
}

/// Sums of one flush through tiles t0 and t1, which must be literals.
#define QWEN3VL_AMX_FLUSH(t0, t1)                                \
    do {                                                         \
        _tile_zero(t0);                                          \
        _tile_zero(t1);                                          \
        for (std::int64_t c = begin; c < end; c += step_bytes) { \
            const std::byte* weights = w + c / 4 * 128;          \
            _tile_loadd(4, x + c / 64 * rows * 64 + c % 64, 64); \
            _tile_loadd(6, weights, 128);                        \
            _tile_dpbsud(t0, 4, 6);                              \
            _tile_loadd(7, weights + 64, 128);                   \
            _tile_dpbsud(t1, 4, 7);                              \
        }                                                        \
        _tile_stored(t0, sums, 64);                              \
        _tile_stored(t1, sums + amx_rows * 16, 64);              \
    } while (false)

/// Sums of one flush, by one of two sets of tiles.
template <int Set>
inline void amx_flush(const std::byte* x, std::int64_t rows, const std::byte* w, std::int64_t begin, std::int64_t end,
                      int step_bytes, std::int32_t* sums) {
    if constexpr (Set == 0)
        QWEN3VL_AMX_FLUSH(0, 1);
    else
        QWEN3VL_AMX_FLUSH(2, 3);
}
#undef QWEN3VL_AMX_FLUSH

template <class Arch, class Kind>
void amx_integer_tile(const IntegerBlock& block, int step_bytes, std::int64_t rows, const AmxIntegerRows<Kind>& x,
                      const std::byte* w, const float* w_scales, const float* w_minima, bool first, float* out,
                      std::int64_t out_stride) {
    constexpr int width = Arch::floats, vectors = 2;
    alignas(64) std::int32_t sums[2][std::size_t{vectors}][std::size_t{amx_rows}][std::size_t{width}];
    asm volatile("" ::: "memory");  // GCC 12 does not know that tile loads read memory
    const std::int64_t flush_bytes = 4 * block.flush_quads, columns = 4 * block.quads, flushes = block.flushes();
    const auto multiply = [&](std::int64_t f) {
        const std::int64_t c = f * flush_bytes, end = std::min(c + flush_bytes, columns);
        if (f % 2)
            amx_flush<1>(x.codes, rows, w, c, end, step_bytes, sums[1][0][0]);
        else
            amx_flush<0>(x.codes, rows, w, c, end, step_bytes, sums[0][0][0]);
    };
    multiply(0);
    for (std::int64_t f = 0; f < flushes; ++f) {
        if (f + 1 < flushes) multiply(f + 1);  // the tiles work on the next flush while the vectors scale this one
        const float* scales = w_scales + f / block.scale_flushes * vectors * width;
        const float* minima = w_minima + f / block.scale_flushes * vectors * width;
        vec<Arch> s[vectors], m[vectors];
        QWEN3VL_UNROLL
        for (int v = 0; v < vectors; ++v) {
            s[v] = Kind::group_scale ? load<Arch>(scales + v * width) : vec<Arch>(0.0f);
            m[v] = Kind::minimum ? load<Arch>(minima + v * width) : vec<Arch>(0.0f);
        }
        for (std::int64_t r = 0; r < rows; ++r) {
            const auto start = x.starts[f * rows + r];
            const float scale = x.scales[f * rows + r];
            QWEN3VL_UNROLL
            for (int v = 0; v < vectors; ++v) {
                auto exact = isa::load_bytes(Arch{}, reinterpret_cast<const std::byte*>(sums[f % 2][v][r]));
                if constexpr (!Kind::minimum) exact = isa::add_int32(Arch{}, exact, isa::set_int(Arch{}, start));
                float* at = out + r * out_stride + v * width;
                const vec<Arch> before = first && f == 0 ? vec<Arch>(0.0f) : load<Arch>(at);
                store<Arch>(add_flush<Arch, Kind>(before, exact, scale, start, s[v], m[v]), at);
            }
        }
    }
}

template <class Arch, bool Pair>
void amx_bf16_tile(std::int64_t columns, std::int64_t rows, const std::byte* x, const std::byte* w, bool first,
                   float* out, std::int64_t out_stride) {
    const std::int64_t pitch = out_stride * static_cast<std::int64_t>(sizeof(float));
    float* below = out + 16 * out_stride;
    asm volatile("" ::: "memory");  // as above
    if (first) {
        _tile_zero(0);
        _tile_zero(1);
        if constexpr (Pair) {
            _tile_zero(2);
            _tile_zero(3);
        }
    } else {
        _tile_loadd(0, out, pitch);
        _tile_loadd(1, out + 16, pitch);
        if constexpr (Pair) {
            _tile_loadd(2, below, pitch);
            _tile_loadd(3, below + 16, pitch);
        }
    }
    for (std::int64_t c = 0; c < columns; c += 32, w += 2048, x += 64 * rows) {
        _tile_loadd(6, w, 128);
        _tile_loadd(4, x, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, w + 64, 128);
        _tile_dpbf16ps(1, 4, 7);
        if constexpr (Pair) {
            _tile_loadd(5, x + 1024, 64);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, out, pitch);
    _tile_stored(1, out + 16, pitch);
    if constexpr (Pair) {
        _tile_stored(2, below, pitch);
        _tile_stored(3, below + 16, pitch);
    }
}

template <class Arch>
void amx_bf16_row(std::int64_t columns, const std::byte* x, const std::byte* w, float* out) {
    // TDPBF16PS takes numbers too small to be normal for zero, whatever the thread's settings
    const unsigned settings = _mm_getcsr();
    _mm_setcsr(settings | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
    vec<Arch> total[2] = {vec<Arch>(0.0f), vec<Arch>(0.0f)};
    for (std::int64_t c = 0; c < columns; c += 32) {
        vec<Arch> even[2] = {vec<Arch>(0.0f), vec<Arch>(0.0f)}, odd[2] = {vec<Arch>(0.0f), vec<Arch>(0.0f)};
        for (int pair = 0; pair < 16; ++pair, w += 128, x += 4) {
            ask_ahead_of_step<128>(w);
            vec<Arch> a[2];
            widen_pairs<Arch>(broadcast4<Arch>(x), a);
            QWEN3VL_UNROLL
            for (int v = 0; v < 2; ++v) {
                vec<Arch> b[2];
                widen_pairs<Arch>(isa::load_bytes(Arch{}, w + 64 * v), b);
                even[v] = fma<Arch>(a[0], b[0], even[v]);
                odd[v] = fma<Arch>(a[1], b[1], odd[v]);
            }
        }
        QWEN3VL_UNROLL
        for (int v = 0; v < 2; ++v) total[v] = total[v] + (even[v] + odd[v]);
    }
    QWEN3VL_UNROLL
    for (int v = 0; v < 2; ++v) store<Arch>(total[v], out + 16 * v);
    _mm_setcsr(settings);
}

#endif

}  // namespace qwen3vl::kernels
