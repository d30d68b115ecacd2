#pragma once
#include <qwen3vl/attention/attention.hpp>
#include <qwen3vl/attention/layer.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/reference/attention.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/testing/standalone_layer.hpp>
#include <qwen3vl/testing/token_modalities.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "arch_test.hpp"

namespace qwen3vl_test {

using namespace qwen3vl;

/// One of two sizes: in sanitized builds, where an oracle takes ten times as long, the smaller.
constexpr std::int64_t size_of([[maybe_unused]] std::int64_t usual, [[maybe_unused]] std::int64_t sanitized) {
#if defined(QWEN3VL_SANITIZED)
    return sanitized;
#else
    return usual;
#endif
}

/// Random queries, keys and values of one layer, token by token as the projections give them.
struct Sequence {
    std::int64_t tokens, kv_heads, group, head_dim;
    std::vector<std::vector<float>> tables = {};  ///< of the mask or the cache
    std::int64_t picture = 23, text = 18;         ///< tokens of each that take turns
    std::vector<float> queries, keys,
        values;  ///< [tokens, kv_heads * group * head_dim], [tokens, kv_heads * head_dim] twice

    Sequence(std::int64_t n, std::int64_t kv, std::int64_t g, std::int64_t d)
        : tokens(n), kv_heads(kv), group(g), head_dim(d) {
        testing::Rng rng(static_cast<std::uint64_t>(((n * 31 + kv) * 31 + g) * 31 + d));
        queries = rng.floats(static_cast<std::size_t>(n * kv * g * d), 3.0f);
        keys = rng.floats(static_cast<std::size_t>(n * kv * d));
        values = rng.floats(static_cast<std::size_t>(n * kv * d));
    }
    std::int64_t channels() const { return kv_cache::padded_channels(head_dim); }
    std::int64_t q_dim() const { return kv_heads * group * head_dim; }

    template <class Mask>
    std::vector<double> expected() const {
        testing::AlternatingTypes types(tokens, picture, text);
        return expected(testing::mask_over<Mask>(types.types()));
    }
    template <class Mask>
    std::vector<double> expected(const Mask& mask) const {
        const auto at = [](std::size_t i) { return static_cast<std::int64_t>(i); };
        return expected_where([&](std::size_t q, std::size_t k) { return mask.visible(at(q), at(k)); });
    }
    /// As reference::attention() with these.
    template <class Visible, class Temperature = reference::NoTemperature>
    std::vector<double> expected_where(const Visible& visible, const Temperature& temperature = {}) const {
        return reference::attention(testing::as_rows(queries, static_cast<std::size_t>(q_dim())),
                                    testing::as_rows(keys, static_cast<std::size_t>(kv_heads * head_dim)),
                                    testing::as_rows(values, static_cast<std::size_t>(kv_heads * head_dim)),
                                    static_cast<std::size_t>(head_dim), static_cast<std::size_t>(group), 0, visible,
                                    temperature)
            .values;
    }

    /// The rounding errors of float32, with |q| <= 3, |k| and |v| <= 1, so that scores lie within 3 sqrt(head_dim): a
    /// score is a sum over head_dim in one chain, scaled twice before, and its distance from the largest (twice the
    /// range) is rounded; as an exponent that counts relatively, in the numerator and in the sum; then two roundings
    /// for each key in the sums, and three for each tile, whose results are rescaled and added.
    double tolerance() const {
        const double score = 3 * std::sqrt(static_cast<double>(head_dim)), n = static_cast<double>(tokens);
        return testing::float_roundoff *
               (2 * score * (static_cast<double>(head_dim) + 3 + 2) + 2 * n + 3 * n / 64 + 12);
    }
};

/// One layer's attention over a cache, chunk by chunk as a decoder runs it.
template <class Attention, class Cache, class Team>
class LayerRun {
    using Mask = typename Attention::mask;
    using State = attention::MaskState<Mask>;

  public:
    LayerRun(const Sequence& s, Team& team) : LayerRun(s, team, kv_cache::stored_channels<Cache>(s.channels())) {}
    LayerRun(const Sequence& s, Team& team, std::int64_t stored)
        : s_(s),
          team_(team),
          extent_{s.kv_heads, s.channels(), s.tokens, Mask::span, Mask::sinks},
          memory_(static_cast<std::size_t>(Cache::bytes(extent_))),
          types_(s.tokens, s.picture, s.text),
          cache_(testing::standalone_layer<Cache>(memory_.data(), extent_, stage_keys(), s.tables, types_.types())),
          mask_memory_(static_cast<std::size_t>(State::bytes(s.kv_heads, stored, s.tokens))),
          parameters_(testing::parameters_from<Mask>(s.tables)),
          mask_(State::in(mask_memory_.data(), s.kv_heads, stored, s.tokens, parameters_, types_.types())),
          out_(static_cast<std::size_t>(s.tokens * s.q_dim())) {}

    /// Tokens [first, first + count). A mask that looks ahead finds all keys written.
    void chunk(std::int64_t first, std::int64_t count) {
        const std::int64_t end = Mask::causal ? first + count : s_.tokens;
        if (written_ < end) kv_cache::reserve_tokens(cache_, written_, end - written_);
        for (; written_ < end; ++written_) write(written_);
        const std::int64_t channels = s_.channels(), heads = s_.kv_heads * s_.group;
        std::vector<float> queries(static_cast<std::size_t>(heads * count * channels), 0.0f);
        const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s_.head_dim)));
        for (std::int64_t t = 0; t < count; ++t)
            for (std::int64_t h = 0; h < heads; ++h)
                for (std::int64_t c = 0; c < s_.head_dim; ++c)
                    queries[static_cast<std::size_t>(((h / s_.group * count + t) * s_.group + h % s_.group) * channels +
                                                     c)] =
                        scale * s_.queries[static_cast<std::size_t>((first + t) * s_.q_dim() + h * s_.head_dim + c)];
        std::vector<float> scratch(static_cast<std::size_t>(attention::layer_scratch_floats<Attention, Cache>(
            team_.threads(), s_.kv_heads, s_.group, channels, count, end)));
        const attention::Heads h{queries.data(), count,    s_.kv_heads,
                                 s_.group,       channels, s_.head_dim,
                                 first,          end,      out_.data() + first * s_.q_dim(),
                                 s_.q_dim()};
        attention::attend_layer<Arch, Attention>(team_, h, cache_, mask_, scratch.data());
    }
    /// The whole sequence in chunks of this many tokens.
    const std::vector<float>& run(std::int64_t chunk_tokens) {
        for (std::int64_t first = 0; first < s_.tokens; first += chunk_tokens)
            chunk(first, std::min(chunk_tokens, s_.tokens - first));
        return out_;
    }

    const std::vector<float>& out() const { return out_; }
    auto& cache() { return cache_; }

  private:
    static constexpr std::int64_t stage_keys() {
        if constexpr (attention::Splits<Attention>)
            return attention::stage_keys<Attention>;
        else
            return 0;
    }
    void write(std::int64_t token) {
        std::vector<float> key(static_cast<std::size_t>(s_.channels()), 0.0f), value = key;
        for (std::int64_t h = 0; h < s_.kv_heads; ++h) {
            const std::int64_t at = (token * s_.kv_heads + h) * s_.head_dim;
            std::copy_n(s_.keys.data() + at, s_.head_dim, key.data());
            std::copy_n(s_.values.data() + at, s_.head_dim, value.data());
            cache_.template write<Arch>(h, token, key.data(), value.data());
        }
    }

    const Sequence& s_;
    Team& team_;
    kv_cache::Extent extent_;
    std::vector<std::byte> memory_;
    testing::AlternatingTypes types_;
    testing::StandaloneLayer<Cache> cache_;
    std::vector<std::byte> mask_memory_;
    parameters_of<Mask, qwen3vl::detail::AnyParameter, std::vector<float>> parameters_;
    typename State::type mask_;
    std::int64_t written_ = 0;
    std::vector<float> out_;
};

template <class Attention, class Cache = kv_cache::Contiguous<kv_cache::Float32>, class Team>
std::vector<float> run(const Sequence& s, Team& team, std::int64_t chunk) {
    return LayerRun<Attention, Cache, Team>(s, team).run(chunk);
}

}  // namespace qwen3vl_test
