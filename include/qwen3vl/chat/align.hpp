#pragma once
#include <algorithm>
#include <array>
#include <qwen3vl/alignment/similarity.hpp>
#include <qwen3vl/chat/media.hpp>

/// Where in a picture a phrase is, by an alignment policy.
namespace qwen3vl::inline QWEN3VL_ABI {

/// A phrase over a picture.
struct PhraseMap {
    int rows = 0, columns = 0;  ///< of the picture's regions, one a merged patch
    std::vector<float>
        scores;       ///< [rows, columns] cosines with the phrase; -1 where a token-reduction policy left none
    float score = 0;  ///< of the whole picture: see the alignment policy

    /// Row and column of the region with the highest score.
    std::array<int, 2> highest() const {
        const auto at = static_cast<int>(std::max_element(scores.begin(), scores.end()) - scores.begin());
        return {at / columns, at % columns};
    }
};

/// Compares a picture with a phrase, such as "the red circle": the decoder reads the phrase alone, and the model's
/// alignment policy compares its last hidden states with the picture's features. The session is emptied first and holds
/// the phrase afterwards. Throws as Chat::ask, and PromptError where the phrase is empty.
template <class M>
PhraseMap align(Session<M>& session, const Image& picture, std::string_view phrase,
                const ProgressCallback& progress = {}) {
    using Alignment = typename M::policies::Alignment;
    static_assert(VisionLanguageDims<typename M::dims>, "qwen3vl: slot alignment: align() needs Dims with a tower");
    const auto& model = session.model();
    using Parameters = std::remove_cvref_t<decltype(model.parameters().alignment)>;
    static_assert(alignment::ComparesPhrases<Alignment, Parameters>,
                  "qwen3vl: slot alignment: this policy compares no phrases; choose alignment::Projected for align()");
    const auto& assets = model.assets();
    if (!assets || !assets->tokenizer)
        throw PromptError("align() needs a tokenizer: expected tokenizer.json in the checkpoint's folder");
    const auto tokens = assets->tokenizer->encode(phrase);
    if (tokens.empty()) throw PromptError("align(): the phrase is empty; expected one such as \"the red circle\"");

    FeatureCache none(0);
    const auto features = detail::features_of(session.workspace(), Input(picture),
                                              detail::MediaConfig<M>(model, *assets), {}, none, progress)
                              .features;
    std::vector<float> words;
    session.reset();
    session.append({tokens, {}}, {.progress = progress, .hook = {}, .hidden = &words});
    constexpr std::int64_t hidden = M::dims::text.hidden;
    alignment::Similarity found;
    if constexpr (alignment::ComparesPhrases<Alignment, Parameters>)
        found = Alignment::compare(model.parameters().alignment, ConstMatrix(words.data(), std::ssize(tokens), hidden),
                                   ConstMatrix(features->embedding.data(), features->tokens(), hidden));

    PhraseMap map{features->grid.h / features->merge, features->grid.w / features->merge, {}, found.score};
    map.scores.assign(static_cast<std::size_t>(map.rows * map.columns), -1.0f);
    for (std::size_t i = 0; i < found.regions.size(); ++i) {
        const auto place =
            features->places.empty()
                ? i
                : static_cast<std::size_t>(features->places[i][0] * map.columns + features->places[i][1]);
        map.scores[place] = found.regions[i];
    }
    return map;
}
/// The same in a session of its own, for a phrase of at most 256 tokens.
template <class M>
PhraseMap align(const M& model, const Image& picture, std::string_view phrase, const ProgressCallback& progress = {}) {
    Session<M> session(model, {.context = 256});
    return align(session, picture, phrase, progress);
}

}  // namespace qwen3vl
