#pragma once
#include <algorithm>
#include <array>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/core/pass.hpp>
#include <qwen3vl/memory/role.hpp>
#include <qwen3vl/policies/policies.hpp>
#include <tuple>
#include <utility>

namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// States that the whole-model policies of a bundle keep of a sequence. Caches and masks have layers of their own
/// (session/layer_table.hpp).
template <Dims D, class P>
class PolicyStates {
    using Policies =
        list<typename P::Fusion, typename P::Text::Ffn, typename P::Text::Depth, typename P::Text::Position>;
    template <class L>
    struct Of;
    template <class... S>
    struct Of<list<S...>> {
        using states = std::tuple<state_of<S>...>;
        static constexpr std::size_t count = sizeof...(S);
        static constexpr bool any = (KeepsState<S> || ...);
        static constexpr bool can_rewind = (state_of<S>::can_rewind && ...);
        static constexpr bool can_save = (state_of<S>::can_save && ...);
        static std::array<std::int64_t, count> bytes(std::int64_t context) {
            return {state_of<S>::bytes(model_dims<D>(), context)...};
        }
        static std::int64_t saved_bytes(const SavedExtent& saved) {
            return (state_of<S>::saved_bytes(model_dims<D>(), saved) + ...);
        }
        /// Goes on from a checksum with the names of those that keep something.
        static std::uint64_t key(std::uint64_t h) {
            const auto add = [&]<class Policy>(type_tag<Policy>) {
                if constexpr (KeepsState<Policy>) h = checksum(std::string(Policy::name), h);
                if constexpr (requires { Policy::State::layout; }) h = checksum(std::string(Policy::State::layout), h);
            };
            (add(type_tag<S>{}), ...);
            return h;
        }
        template <std::size_t... I>
        static states make(std::int64_t context, const std::array<std::byte*, count>& memory,
                           std::index_sequence<I...>) {
            return states(state_of<S>(model_dims<D>(), context, memory[I])...);
        }
    };
    using All = Of<Policies>;

  public:
    static constexpr bool any = All::any, can_rewind = All::can_rewind, can_save = All::can_save;

    /// Blocks of a sequence's states.
    struct Memory {
        std::array<std::byte*, All::count> places{};
        /// Calls f(part, place, bytes, role) for each block.
        template <class F>
        void visit(std::int64_t context, F&& f) {
            const auto bytes = All::bytes(context);
            for (std::size_t i = 0; i < All::count; ++i)
                if (bytes[i] > 0)
                    f("states of policies", places[i], bytes[i],
                      memory::Role{memory::Pool::attention, memory::Content::kept});
        }
    };

    explicit PolicyStates(std::int64_t context, const Memory& memory = {})
        : states_(All::make(context, memory.places, std::make_index_sequence<All::count>{})) {}

    /// State of a policy of the bundle.
    template <class Policy>
    state_of<Policy>& of() {
        return of<Policy>(type_tag<Policies>{});
    }
    /// Calls f(state) for each.
    template <class F>
    void visit(F&& f) {
        std::apply([&](auto&... state) { (f(state), ...); }, states_);
    }
    void rewind(std::int64_t tokens) {
        visit([&](auto& state) { state.rewind(tokens); });
    }
    /// Becomes a copy of another sequence's states, which have so much in use.
    void copy(const PolicyStates& other, const SavedExtent& used) {
        copy(other, used, std::make_index_sequence<All::count>{});
    }
    static std::int64_t saved_bytes(const SavedExtent& saved) { return All::saved_bytes(saved); }
    static std::uint64_t key(std::uint64_t h) { return All::key(h); }

  private:
    template <class Policy, class... S>
    state_of<Policy>& of(type_tag<list<S...>>) {
        constexpr std::array same = {std::is_same_v<Policy, S>...};
        constexpr auto at = static_cast<std::size_t>(std::find(same.begin(), same.end(), true) - same.begin());
        return std::get<at>(states_);
    }
    template <std::size_t... I>
    void copy(const PolicyStates& other, const SavedExtent& used, std::index_sequence<I...>) {
        (std::get<I>(states_).copy(std::get<I>(other.states_), used), ...);
    }

    typename All::states states_;
};

}  // namespace qwen3vl::detail
