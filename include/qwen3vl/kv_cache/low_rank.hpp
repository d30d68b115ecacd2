#pragma once
#include <algorithm>
#include <concepts>
#include <qwen3vl/core/aligned.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/tokens.hpp>
#include <qwen3vl/kernels/outer_product.hpp>
#include <qwen3vl/kv_cache/contiguous.hpp>
#include <qwen3vl/kv_cache/layer_access.hpp>
#include <qwen3vl/kv_cache/projection.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Keeps keys and values as their coordinates along R.n directions of each head, in another cache (Saxena et al., 2024,
/// "Eigen Attention: attention in low-rank space for KV cache compression", section 3). Queries are projected along
/// with the keys, and the sums of values are expanded once: nothing is decompressed. Directions come from a singular
/// value decomposition over calibration text (the tool low_rank). They are parameters of each layer, "kv_cache.keys"
/// and "kv_cache.values" [kv_heads, head_dim, head_dim]: orthonormal rows by falling weight, of which the first R.n
/// count. With R.n = head_dim nothing is lost. Keys are kept after rotation, so that a step rotates one key and not
/// all.
///     kv_cache::LowRank<Rank{64}, kv_cache::Contiguous<kv_cache::Int8>>
template <Rank R, class Inner = Contiguous<>>
struct LowRank {
    static_assert(R.n > 0, "qwen3vl: slot kv_cache: LowRank needs a Rank above 0");
    static constexpr const char* name = "LowRank";
    using codec = typename Inner::codec;
    static constexpr bool can_rewind = Inner::can_rewind;
    static constexpr bool can_save = Inner::can_save;
    static constexpr std::int64_t capacity = Inner::capacity;
    static constexpr bool by_modality = ByModalities<Inner>;  ///< as Inner
    static constexpr std::int64_t rank = R.n;                 ///< coordinates kept of each key and value
    /// True if the other cache may be given coordinates in place of keys.
    static constexpr bool inner_takes_projected = !Evicts<typename Inner::Layer> && !Offloads<Inner> && !requires {
        Inner::recurrent;
    };

    template <class M, class V>
    struct Parameters {
        V keys{}, values{};                        ///< [kv_heads, head_dim, head_dim]
        AlignedFloats basis{nullptr, &std::free};  ///< the first directions of each head in the layout of kernels
    };
    template <class Dims, class P, class F>
    static void visit_parameters(const Dims& d, P& p, F&& f) {
        f("kv_cache.keys", Shape{d.kv_heads, d.head_dim, d.head_dim}, p.keys);
        f("kv_cache.values", Shape{d.kv_heads, d.head_dim, d.head_dim}, p.values);
    }

    /// Bytes that prepare() takes for a layer.
    template <class Dims>
    static std::int64_t prepared_bytes(const Dims& d) {
        return basis_floats(d.kv_heads, padded_channels(d.head_dim)) * static_cast<std::int64_t>(sizeof(float));
    }
    /// Makes the basis from the parameters of a layer, which all sequences read.
    template <class Dims, class P>
    static void prepare(const Dims& d, P& p) {
        const std::int64_t channels = padded_channels(d.head_dim), head_dim = d.head_dim;
        const std::int64_t floats = basis_floats(d.kv_heads, channels);
        p.basis = aligned_floats(static_cast<std::size_t>(floats));
        std::fill_n(p.basis.get(), floats, 0.0f);
        for (std::int64_t h = 0; h < d.kv_heads; ++h) {
            float *keys = p.basis.get() + h * 3 * channels * width, *values = keys + channels * width,
                  *expansion = values + channels * width;
            for (std::int64_t r = 0; r < std::min(rank, head_dim); ++r)
                for (std::int64_t c = 0; c < head_dim; ++c) {
                    const auto at = static_cast<std::size_t>((h * head_dim + r) * head_dim + c);
                    keys[c * width + r] = p.keys[at];
                    values[c * width + r] = expansion[r * channels + c] = p.values[at];
                }
        }
    }

    /// Channels of a row in the other cache.
    static constexpr std::int64_t stored_channels(std::int64_t /*channels*/) { return padded_channels(R.n); }
    static std::int64_t bytes(const Extent& e) { return Inner::bytes(stored(e)); }
    static std::int64_t saved_bytes(const Extent& e, std::same_as<std::int64_t> auto... tokens) {
        return Inner::saved_bytes(stored(e), tokens...);
    }
    /// As Inner, where it keeps modalities apart.
    static bool holds(const Extent& e, std::int64_t language, std::int64_t vision) requires(by_modality) {
        return Inner::holds(stored(e), language, vision);
    }
    static std::int64_t largest_chunk(const Extent& e) { return Inner::largest_chunk(stored(e)); }

    class Layer : public Inner::Layer {
      public:
        /// `p`: prepared Parameters of the layer, which outlive it.
        template <class P, class... Types>
        Layer(std::byte* memory, const Extent& e, const P& p, const Types&... types)
            : Inner::Layer(memory, stored(e), types...), basis_(p.basis.get()), channels_(e.channels) {}
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            alignas(64) float rows[std::size_t{2 * width}];
            kernels::row_times_matrix<Arch>(key, channels_, keys(kv_head), width, rows);
            kernels::row_times_matrix<Arch>(value, channels_, values(kv_head), width, rows + width);
            Inner::Layer::template write<Arch>(kv_head, token, rows, rows + width);
        }
        /// Channels of a row of coordinates.
        std::int64_t stored_channels() const { return width; }
        /// Writes the coordinates of a query, [stored_channels()], of a row [channels].
        template <class Arch>
        void project(std::int64_t kv_head, const float* query, float* out) const {
            kernels::row_times_matrix<Arch>(query, channels_, keys(kv_head), width, out);
        }
        /// Writes the row [channels] that coordinates stand for, as of a sum of values.
        template <class Arch>
        void expand(std::int64_t kv_head, const float* row, float* out) const {
            kernels::row_times_matrix<Arch>(row, width, expansion(kv_head), channels_, out);
        }

      private:
        /// [channels, width]
        const float* keys(std::int64_t head) const { return basis_ + head * 3 * channels_ * width; }
        /// [channels, width]
        const float* values(std::int64_t head) const { return keys(head) + channels_ * width; }
        /// [width, channels]
        const float* expansion(std::int64_t head) const { return keys(head) + 2 * channels_ * width; }

        const float* basis_;
        std::int64_t channels_;
    };

  private:
    static constexpr std::int64_t width = padded_channels(R.n);
    static Extent stored(Extent e) {
        e.channels = width;
        return e;
    }
    static constexpr std::int64_t basis_floats(std::int64_t kv_heads, std::int64_t channels) {
        return kv_heads * 3 * channels * width;
    }
};

}  // namespace qwen3vl::kv_cache
