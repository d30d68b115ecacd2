#pragma once
#include <qwen3vl/retrieval/last_states.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Options of a reranker. The defaults are Qwen3-VL-Reranker's.
struct RerankerOptions {
    /// The task where a call names none.
    std::string instruction = "Given a search query, retrieve relevant candidates that answer the query.";
    int tokens = 10240;       ///< of a prompt at most, without the five that end it and always stay
    std::string yes = "yes";  ///< the token whose logit counts for a document
    std::string no = "no";    ///< the token whose logit counts against it
    MediaLimits media = {};   ///< of pictures and clips
    BatchOptions batch = {};  ///< how prompts are computed
    std::shared_ptr<FeatureCache> feature_cache = {};  ///< keeps encoded pictures; null: 64 MiB of its own
    ProgressCallback progress = {};                    ///< stages "rerank", in documents, and those of pictures
};

/// Tells how well documents meet a query, as Qwen3-VL-Reranker does (`Qwen3VLReranker.process` of
/// github.com/QwenLM/Qwen3-VL-Embedding): for each pair one prompt, whose last hidden state after the final norm is
/// multiplied by the difference of the head's rows for "yes" and "no"; the sigmoid of that is the score. Queries and
/// documents are texts, pictures, clips or mixtures of them. Keeps a workspace; used by one thread at a time.
///
///     q::Reranker reranker(model);
///     const auto scores = reranker.score({"a red circle"}, {{picture}, {"It rains."}});
template <class M>
class Reranker {
  public:
    /// Throws TokenizerError where the tokenizer lacks the tokens for yes and no, PromptError where there is none;
    /// ConfigError where the options make no sense; ContextOverflow, OutOfMemory.
    explicit Reranker(const M& model, const RerankerOptions& options = {})
        : options_(checked(options)),
          cache_(options.feature_cache ? options.feature_cache : std::make_shared<FeatureCache>(own_cache_bytes)),
          states_(model, options.media, options.batch, options.tokens + kept_at_end, cache_, options.progress),
          difference_(static_cast<std::size_t>(M::dims::text.hidden)) {
        std::vector<float> no(difference_.size());
        model.head_row(token(options.yes), difference_.data());
        model.head_row(token(options.no), no.data());
        for (std::size_t i = 0; i < no.size(); ++i) difference_[i] -= no[i];
    }
    /// A reranker does not keep its model alive: name the model first.
    explicit Reranker(M&&, const RerankerOptions& = {}) = delete;

    /// The score of each document, from 0 to 1 and in their order. `instruction` tells what a match is; empty: the
    /// options'. A document's score has the same bits whatever others stand beside it. Throws ImageError, PromptError,
    /// ContextOverflow, OutOfMemory, Cancelled.
    std::vector<float> score(const std::vector<Input>& query, const std::vector<std::vector<Input>>& documents,
                             const std::string& instruction = {}) {
        std::vector<float> scores(documents.size());
        states_.run(
            documents.size(), "rerank", [&](std::size_t i) { return prompt(query, documents[i], instruction); },
            [&](std::size_t i, const float* state) {
                double sum = 0;
                for (std::size_t c = 0; c < difference_.size(); ++c)
                    sum += static_cast<double>(state[c]) * static_cast<double>(difference_[c]);
                scores[i] = static_cast<float>(1 / (1 + std::exp(-sum)));
            });
        return scores;
    }

    /// The prompt of a pair as the model reads it, truncated. Throws as score().
    Prompt prompt(const std::vector<Input>& query, const std::vector<Input>& document,
                  const std::string& instruction = {}) {
        std::vector<Input> content{"<Instruct>: " + (instruction.empty() ? options_.instruction : instruction),
                                   "<Query>:"};
        detail::add_ordered(content, query);
        content.emplace_back("\n<Document>:");
        detail::add_ordered(content, document);
        Prompt prompt = states_.prompt(
            "Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that "
            "the answer can only be \"yes\" or \"no\".",
            std::move(content));
        // the template's end, from the control token that ends the user's message on
        const auto end = prompt.tokens.end() - std::min<std::ptrdiff_t>(kept_at_end, std::ssize(prompt.tokens));
        auto tokens = detail::truncated(states_.tokenizer(), {prompt.tokens.begin(), end},
                                        static_cast<std::size_t>(options_.tokens), Truncation::keep_special);
        tokens.insert(tokens.end(), end, prompt.tokens.end());
        prompt.tokens = std::move(tokens);
        return prompt;
    }

  private:
    static constexpr int kept_at_end = 5;
    static constexpr std::int64_t own_cache_bytes = 64 << 20;  // a query's pictures, which every pair shows again

    static const RerankerOptions& checked(const RerankerOptions& o) {
        if (o.tokens < 1 || o.tokens > std::numeric_limits<int>::max() - kept_at_end)
            throw ConfigError("RerankerOptions::tokens: expected at least 1, found " + std::to_string(o.tokens));
        return o;
    }
    int token(const std::string& text) const {
        const auto id = states_.tokenizer().token_to_id(text);
        if (!id || *id >= M::dims::text.vocab)
            throw TokenizerError(states_.tokenizer().file() + ": expected a token '" + text +
                                 "' to score by, found none");
        return *id;
    }

    RerankerOptions options_;
    std::shared_ptr<FeatureCache> cache_;
    detail::LastStates<M> states_;
    std::vector<float> difference_;  ///< [hidden]
};

}  // namespace qwen3vl
