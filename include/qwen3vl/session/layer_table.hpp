#pragma once
#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/model/session_plan.hpp>
#include <qwen3vl/session/offload_file.hpp>
#include <qwen3vl/session/session_pages.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// The caches and masks of a sequence's layers, in the memory that was planned for them.
template <Dims D, class P>
class LayerTable {
    static constexpr std::size_t period = layer_period<P>;

  public:
    template <std::size_t I>
    struct Layer {
        typename LayerSlots<P, I>::KvCache::Layer cache;
        typename LayerSlots<P, I>::MaskState::type mask;
    };

    void open(const SequenceMemory<D, P>& memory, int context, const ModelParameters<P>& parameters,
              const TokenModalities& types, OffloadFile<D, P>& file, SessionPages<D, P>& pages) {
        for (std::size_t i = 0; i < memory.layers.size(); ++i)
            with_layer_slots<P>(i, [&](auto index) {
                using S = LayerSlots<P, index()>;
                using Cache = typename S::KvCache;
                const kv_cache::Extent e = S::extent(D::text, context);
                const auto owner = static_cast<std::size_t>(kv_cache::owner_of<Cache>(static_cast<int>(i)));
                const auto cache = [&] {
                    if constexpr (in_pages<P>)
                        return typename Cache::Layer(pages.table(), pages.begin(owner), e);
                    else if constexpr (BringsParameters<Cache> && kv_cache::ByModalities<Cache>)
                        return
                            typename Cache::Layer(memory.layers[i].cache, e,
                                                  std::get<index()>(parameters.layers)[owner / period].kv_cache, types);
                    else if constexpr (BringsParameters<Cache>)
                        return typename Cache::Layer(memory.layers[i].cache, e,
                                                     std::get<index()>(parameters.layers)[owner / period].kv_cache);
                    else if constexpr (kv_cache::ByModalities<Cache>)
                        return typename Cache::Layer(memory.layers[i].cache, e, types);
                    else if constexpr (kv_cache::Offloads<Cache>)
                        return typename Cache::Layer(memory.layers[i].cache, e, file.template place_of<Cache>(i));
                    else
                        return typename Cache::Layer(memory.layers[i].cache, e);
                };
                std::get<index()>(layers_).push_back(
                    {cache(), S::MaskState::in(memory.layers[i].mask, e.kv_heads, S::mask_channels(D::text), e.tokens,
                                               parameters.template layer<index()>(i).mask, types)});
            });
    }

    /// Layer `i`, which has the policies of member I of the period.
    template <std::size_t I>
    Layer<I>& at(std::size_t i) {
        return std::get<I>(layers_)[i / period];
    }
    /// Calls f(LayerSlots, layer index, layer) for every layer.
    template <class F>
    void visit(F&& f) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(D::text.layers); ++i)
            with_layer_slots<P>(i, [&](auto index) { f(LayerSlots<P, index()>{}, i, at<index()>(i)); });
    }
    /// Calls f(LayerSlots, layer index, layer) for every layer that has a cache of its own.
    template <class F>
    void visit_owners(F&& f) {
        visit([&](auto slots, std::size_t i, auto& layer) {
            using Cache = typename decltype(slots)::KvCache;
            if (kv_cache::owner_of<Cache>(static_cast<int>(i)) == static_cast<int>(i)) f(slots, i, layer);
        });
    }

    /// Calls f(layer, the same layer of another table) for each of those.
    template <class F>
    void visit_owners(LayerTable& other, F&& f) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(D::text.layers); ++i)
            with_layer_slots<P>(i, [&](auto index) {
                using Cache = typename LayerSlots<P, index()>::KvCache;
                if (kv_cache::owner_of<Cache>(static_cast<int>(i)) == static_cast<int>(i))
                    f(at<index()>(i), other.template at<index()>(i));
            });
    }

  private:
    template <std::size_t... I>
    static auto tuple(std::index_sequence<I...>) -> std::tuple<std::vector<Layer<I>>...>;

    decltype(tuple(std::make_index_sequence<period>{})) layers_;
};

}  // namespace qwen3vl::detail
