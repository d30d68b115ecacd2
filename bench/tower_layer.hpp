#pragma once
#include <algorithm>
#include <qwen3vl/attention/attention.hpp>
#include <qwen3vl/attention/heads.hpp>
#include <qwen3vl/kv_cache/kv_cache.hpp>
#include <qwen3vl/mask/mask.hpp>
#include <qwen3vl/mask/over_grid.hpp>
#include <qwen3vl/memory/arena.hpp>
#include "attention_layer.hpp"
#include "visible_pairs.hpp"

/// Attention of one block of the tower at the 2B's extents, over one picture.
namespace bench {

inline constexpr q::VisionDims vision = q::models::Qwen3VL_2B::vision;

/// So many patches in rows and columns as even as they can be; nothing where they make no blocks that become tokens.
inline std::optional<q::Grid> grid_of(std::int64_t patches) {
    std::optional<q::Grid> grid;
    for (std::int64_t h = vision.merge; h * h <= patches; h += vision.merge)
        if (patches % (h * vision.merge) == 0) grid = q::Grid{1, static_cast<int>(h), static_cast<int>(patches / h)};
    return grid;
}

template <class Attention>
class TowerLayer {
    using Team = q::execution::Threads<>::Team;
    using Cache = q::kv_cache::Contiguous<q::kv_cache::Float32>;

  public:
    using Mask = typename Attention::mask;

    TowerLayer(Team& team, const q::Grid& grid)
        : team_(team),
          mask_(q::mask::over_grid<Mask>(grid, vision.merge)),
          extent_{vision.heads, q::kv_cache::padded_channels(vision.head_dim()), grid.patches(), 0, 0},
          memory_(q::memory::Arena::footprint(Cache::bytes(extent_))),
          cache_(memory_.take(Cache::bytes(extent_)), extent_),
          queries_(q::aligned_floats(static_cast<std::size_t>(vision.heads * extent_.tokens * extent_.channels))),
          out_(static_cast<std::size_t>(extent_.tokens * vision.hidden)),
          scratch_(q::aligned_floats(static_cast<std::size_t>(scratch_bytes() / 4))) {}

    std::int64_t scratch_bytes() const {
        return 4 * q::attention::scratch_floats<Attention>(team_.threads(), vision.heads, 1, extent_.channels,
                                                           extent_.tokens);
    }
    /// Pairs of query and visible key, in one head.
    double pairs() const { return visible_pairs(mask_, 0, extent_.tokens, extent_.tokens); }

    /// Stores a patch's rows in one head, each of padded channels; the query is scaled.
    void write(std::int64_t head, std::int64_t patch, const float* query, const float* key, const float* value) {
        const std::int64_t at = q::mask::order(mask_, patch);
        std::copy_n(query, extent_.channels, queries_.get() + (head * extent_.tokens + at) * extent_.channels);
        cache_.template write<Arch>(head, at, key, value);
    }
    void attend() {
        const q::attention::Heads heads{
            queries_.get(), extent_.tokens, vision.heads, 1, extent_.channels, vision.head_dim(), 0,
            extent_.tokens, out_.data(),    vision.hidden};
        q::attention::attend<Arch, Attention>(
            team_, heads,
            [&](std::int64_t head, std::int64_t index) { return cache_.tile(head, index, extent_.tokens); },
            scratch_.get(), mask_);
    }
    /// What attend() made of the patches, in their order: [patches, hidden].
    std::vector<float> results() const {
        std::vector<float> in_order(out_.size());
        for (std::int64_t i = 0; i < extent_.tokens; ++i)
            std::copy_n(out_.data() + q::mask::order(mask_, i) * vision.hidden, vision.hidden,
                        in_order.data() + i * vision.hidden);
        return in_order;
    }

  private:
    Team& team_;
    Mask mask_;
    q::kv_cache::Extent extent_;
    q::memory::Arena memory_;
    typename Cache::Layer cache_;
    q::AlignedFloats queries_;  ///< [heads, patches, channels]
    std::vector<float> out_;    ///< [patches, hidden]
    q::AlignedFloats scratch_;
};

/// f(policy, type_tag<TowerLayer<…>>) for every algorithm under every mask of the tower.
template <class F>
void for_each_tower_policy(F&& f) {
    q::for_each_type<q::concat_t<q::mask::all, q::mask::of_grids>>([&]<class M>(M) {
        if constexpr (!M::type::causal)
            q::for_each_type<q::attention::all<typename M::type>>([&]<class A>(A) {
                using Attention = typename A::type;
                f(Policy{"vision", Attention::name, Attention::mask::name, "", ""},
                  q::type_tag<TowerLayer<Attention>>{});
            });
    });
}

}  // namespace bench
