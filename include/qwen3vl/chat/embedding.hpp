#pragma once
#include <qwen3vl/chat/encode_chat.hpp>
#include <qwen3vl/chat/media.hpp>

/// Hidden states and pooled embeddings of prompts and pictures: for search, clustering, classification.
namespace qwen3vl::inline QWEN3VL_ABI {

namespace detail {
/// Scales a vector to length 1; one of zeros stays.
inline void scale_to_unit(std::vector<float>& v) {
    double squares = 0;
    for (const float x : v) squares += static_cast<double>(x) * static_cast<double>(x);
    const auto scale = static_cast<float>(1.0 / std::sqrt(std::max(squares, 1e-24)));
    for (float& x : v) x *= scale;
}
}  // namespace detail

/// Pooling of hidden states [tokens, width] to one vector [width].
enum class Pooling { mean, last };

/// The decoder's view of a message.
struct HiddenStates {
    std::vector<int> tokens;    ///< ids of the rendered message, pads included
    std::int64_t width = 0;     ///< the decoder's hidden size
    std::vector<float> values;  ///< [tokens, width], after the final norm

    /// The mean of all rows, or the last one (which has seen all others), scaled to length 1.
    std::vector<float> pooled(Pooling pooling = Pooling::last) const {
        std::vector<float> out(static_cast<std::size_t>(width));
        const auto rows = static_cast<std::int64_t>(tokens.size());
        for (std::int64_t r = pooling == Pooling::last ? rows - 1 : 0; r < rows; ++r)
            for (std::int64_t c = 0; c < width; ++c)
                out[static_cast<std::size_t>(c)] += values[static_cast<std::size_t>(r * width + c)];
        detail::scale_to_unit(out);
        return out;
    }
};

/// The hidden states of one user's message of text, pictures and clips, in the chat format without an answer. The
/// session is emptied first and holds the message afterwards. Throws as Chat::ask.
template <class M>
HiddenStates hidden_states(Session<M>& session, const std::vector<Input>& content,
                           const ProgressCallback& progress = {}) {
    const auto& assets = session.model().assets();
    if (!assets || !assets->tokenizer)
        throw PromptError(
            "hidden states of a message need a tokenizer: expected tokenizer.json in the checkpoint's folder");
    const detail::MediaConfig<M> config(session.model(), *assets);
    std::vector<detail::MediaExtent> extents;
    const auto message = detail::message_of<M>(chat::Role::user, content, config, extents);
    Prompt prompt;
    if constexpr (VisionLanguageDims<typename M::dims>) {
        FeatureCache none(0);
        for (const auto& input : content)
            if (!std::holds_alternative<std::string>(input))
                prompt.visuals.push_back(
                    detail::features_of(session.workspace(), input, config, {}, none, progress).features);
    }
    HiddenStates out;
    out.tokens = chat::encode_chat(*assets->tokenizer, {{message}, {}}, detail::media_sizes(extents),
                                   {.add_generation_prompt = false, .add_vision_id = false})
                     .ids;
    out.width = M::dims::text.hidden;
    prompt.tokens = out.tokens;
    session.reset();
    session.append(prompt, {.progress = progress, .hook = {}, .hidden = &out.values});
    return out;
}

/// The mean of a picture's tokens after the vision tower, scaled to length 1: the picture alone, no words involved.
inline std::vector<float> pooled_features(const VisualFeatures& features) {
    return HiddenStates{std::vector<int>(static_cast<std::size_t>(features.tokens())), features.width,
                        features.embedding}
        .pooled(Pooling::mean);
}

}  // namespace qwen3vl
