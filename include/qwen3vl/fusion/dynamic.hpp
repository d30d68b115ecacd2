#pragma once
#include <algorithm>
#include <new>
#include <qwen3vl/core/activations.hpp>
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/fusion/complexity.hpp>
#include <qwen3vl/fusion/deepstack.hpp>
#include <qwen3vl/fusion/scratch.hpp>
#include <qwen3vl/fusion/stand_in.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI::fusion {

/// Fusion policies that choose by the picture which inner one takes it.
template <class F>
concept ChoosesPictures = requires {
    requires F::chooses_pictures;
};

/// A fusion policy by the picture: Full for pictures whose complexity is above C.threshold, Light for all others (by
/// input, as the early exits of Teerapittayanon et al., 2016, "BranchyNet", section 3, choose; here between policies).
///
///     complexity(features) > threshold ? Full : Light
///
/// Each sees the pictures that are its own and no others, in every pass, so that a token behind pictures of both kinds
/// has what both add. The score (fusion/complexity.hpp) is made of a picture's features when its first token is
/// computed, and kept with the sequence. A threshold of 1 or more has the bits of Light, one below 0 those of Full.
/// Reply::fuller_pictures counts. Parameters: those of Full by their own names, those of Light behind `light.`.
///     Policies<>::with_fusion<fusion::Dynamic<fusion::DeepStack, fusion::CrossAttention<>,
///                                             fusion::Complexity{.threshold = 0.6f}>>
template <class Light, class Full, Complexity C = Complexity{}>
struct Dynamic {
    static_assert(!KeepsOutside<Light> && !KeepsOutside<Full>,
                  "qwen3vl: slot fusion: Dynamic chooses when a picture is encoded, and the prompt has its tokens by "
                  "then; use policies that keep visual tokens in the sequence, as pictures::Inside");
    static_assert(
        !ChoosesPictures<Light> && !ChoosesPictures<Full>,
        "qwen3vl: slot fusion: Dynamic within Dynamic would choose among pictures that are not its own; use one "
        "Dynamic of two policies");
    static constexpr const char* name = "Dynamic";
    static constexpr bool chooses_pictures = true;  ///< it stands in no other
    using Ends = Dynamic;
    /// As of both.
    static constexpr bool ends(const ModelDims& d, int layer) {
        return ends_of<Light>(d, layer) && ends_of<Full>(d, layer);
    }
    static constexpr bool embeds = Light::embeds || Full::embeds;
    static constexpr bool adds_before(int layer) { return Light::adds_before(layer) || Full::adds_before(layer); }
    static constexpr bool adds_after(const ModelDims& d, int layer) {
        return Light::adds_after(d, layer) || Full::adds_after(d, layer);
    }

    /// Parameters of both policies.
    template <class M, class V>
    struct Parameters {
        parameters_of<Light, M, V> light;  ///< by their names behind `light.`
        parameters_of<Full, M, V> full;    ///< by their own names
    };
    template <class P, class F>
    static void visit_parameters(const ModelDims& d, P& p, F&& f) {
        visit_parameters_of<Light>(d, p.light, [&](const std::string& parameter, const auto& shape, auto&&... rest) {
            f("light." + parameter, shape, rest...);
        });
        visit_parameters_of<Full>(d, p.full, f);
    }

    /// Scores of a sequence's pictures [pictures], and the states of both policies.
    class State {
      public:
        static constexpr bool can_rewind = state_of<Light>::can_rewind && state_of<Full>::can_rewind;
        static constexpr bool can_save = state_of<Light>::can_save && state_of<Full>::can_save;
        static std::int64_t bytes(const ModelDims& d, std::int64_t context) {
            return scores_bytes(context) + round_up(state_of<Light>::bytes(d, context), 64) +
                   state_of<Full>::bytes(d, context);
        }
        State(const ModelDims& d, std::int64_t context, std::byte* memory)
            : scores_(reinterpret_cast<float*>(memory)),
              light_(d, context, memory + scores_bytes(context)),
              full_(d, context, memory + scores_bytes(context) + round_up(state_of<Light>::bytes(d, context), 64)) {}
        /// Scores by picture, and the policies' own states.
        float* scores() const { return scores_; }
        /// As scores().
        state_of<Light>& light() { return light_; }
        /// As scores().
        state_of<Full>& full() { return full_; }
        void rewind(std::int64_t tokens) {  // later scores are made again before they are read
            light_.rewind(tokens);
            full_.rewind(tokens);
        }
        void copy(const State& other, const SavedExtent& used) {
            std::copy_n(other.scores_, used.pictures, scores_);
            light_.copy(other.light_, used);
            full_.copy(other.full_, used);
        }
        static std::int64_t saved_bytes(const ModelDims& d, const SavedExtent& saved) {
            return saved.pictures * static_cast<std::int64_t>(sizeof(float)) + state_of<Light>::saved_bytes(d, saved) +
                   state_of<Full>::saved_bytes(d, saved);
        }
        template <class F>
        void for_each_piece(const SavedExtent& saved, F&& f) {
            if (saved.pictures > 0)
                f(std::as_writable_bytes(std::span(scores_, static_cast<std::size_t>(saved.pictures))));
            light_.for_each_piece(saved, f);
            full_.for_each_piece(saved, f);
        }

      private:
        static std::int64_t scores_bytes(std::int64_t context) {
            return round_up(context * static_cast<std::int64_t>(sizeof(float)), 64);
        }
        float* scores_;
        state_of<Light> light_;
        state_of<Full> full_;
    };

    /// How many of a sequence's first `pictures` pictures took Full.
    static std::int64_t fuller_pictures(const State& state, std::int64_t pictures) {
        return std::count_if(state.scores(), state.scores() + pictures, [](float s) { return s > C.threshold; });
    }

    static std::int64_t scratch_floats(const ModelDims& d, int threads, std::int64_t rows, std::int64_t context) {
        return rows_floats(rows) +
               std::max(own_floats<Light>(d, threads, rows, context), own_floats<Full>(d, threads, rows, context));
    }

    template <class Weights, class Pass, class Gate = NoGate>
    static void embed(const Pass& pass, const Gate& gate = {}) {
        for (const auto& s : pass.sequences) {
            const auto pictures = s.tokens->pictures();
            for (std::size_t i = 0; i < pictures.size(); ++i)
                if (const SequencePicture& p = pictures[i]; p.first >= s.first && p.first < s.first + s.count)
                    s.state->scores()[i] = complexity_of(C.score, *p.pending, p.feature_row, p.features);
        }
        for_each(pass, [&]<class Policy>(type_tag<Policy>, const auto& own) {
            if constexpr (std::is_same_v<Gate, NoGate>)
                Policy::template embed<Weights>(own);
            else
                Policy::template embed<Weights>(own, gate);
        });
    }
    template <class Weights, class Pass, class Gate = NoGate>
    static void before_layer(const Pass& pass, int layer, const Gate& gate = {}) {
        for_each(pass, [&]<class Policy>(type_tag<Policy>, const auto& own) {
            if constexpr (!requires { Policy::template before_layer<Weights>(own, layer); })
                return;
            else if constexpr (std::is_same_v<Gate, NoGate>)
                Policy::template before_layer<Weights>(own, layer);
            else
                Policy::template before_layer<Weights>(own, layer, gate);
        });
    }
    template <class Weights, class Pass, class Gate = NoGate>
    static void after_layer(const Pass& pass, int layer, const Gate& gate = {}) {
        for_each(pass, [&]<class Policy>(type_tag<Policy>, const auto& own) {
            if constexpr (!requires { Policy::template after_layer<Weights>(own, layer); })
                return;
            else if constexpr (std::is_same_v<Gate, NoGate>)
                Policy::template after_layer<Weights>(own, layer);
            else
                Policy::template after_layer<Weights>(own, layer, gate);
        });
    }

  private:
    template <class Policy>
    static constexpr bool ends_of(const ModelDims& d, int layer) {
        if constexpr (requires { typename Policy::Ends; })
            if constexpr (std::is_same_v<typename Policy::Ends, Policy>) return Policy::ends(d, layer);
        return false;
    }
    template <class Policy>
    static std::int64_t own_floats(const ModelDims& d, int threads, std::int64_t rows, std::int64_t context) {
        if constexpr (requires { Policy::scratch_floats(d, threads, rows, context); })
            return Policy::scratch_floats(d, threads, rows, context);
        else
            return 0;
    }
    /// Floats of scratch for the rows of at most so many sequences, as a policy is told of them.
    static std::int64_t rows_floats(std::int64_t rows) {
        constexpr auto each = static_cast<std::int64_t>(sizeof(SequenceRows<NoState>) / sizeof(float));
        return round_up(rows * each, 16);
    }
    /// f(type_tag<policy>, pass) for both, with the pass as the policy sees it: its pictures, parameters and state.
    template <class Ops, class P, class F>
    static void for_each(const Pass<Ops, P, State>& pass, F&& f) {
        const auto give = [&]<class Policy>(type_tag<Policy> tag, const auto& parameters, bool above, auto&& state) {
            using Rows = SequenceRows<state_of<Policy>>;
            static_assert(sizeof(Rows) == sizeof(SequenceRows<NoState>));
            auto* rows = reinterpret_cast<Rows*>(pass.scratch);
            std::size_t n = 0;
            for (const auto& s : pass.sequences)
                ::new (static_cast<void*>(rows + n++))
                    Rows{s.tokens, &state(*s.state), s.row, s.first, s.count, {s.state->scores(), C.threshold, above}};
            f(tag, Pass<Ops, std::remove_cvref_t<decltype(parameters)>, state_of<Policy>>{
                       pass.ops, pass.dims, parameters, std::span<const Rows>(rows, n), pass.x, pass.activations,
                       pass.scratch + rows_floats(pass.activations.x.rows)});
        };
        give(
            type_tag<Light>{}, pass.parameters.light, false, [](State & s) -> auto& { return s.light(); });
        give(
            type_tag<Full>{}, pass.parameters.full, true, [](State & s) -> auto& { return s.full(); });
    }
};

}  // namespace qwen3vl::fusion
