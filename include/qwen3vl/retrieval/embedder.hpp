#pragma once
#include <qwen3vl/chat/embedding.hpp>
#include <qwen3vl/retrieval/instruction.hpp>
#include <qwen3vl/retrieval/last_states.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// What is embedded.
struct EmbedInput {
    std::vector<Input> content = {};  ///< texts, pictures and clips; read as clips, pictures, texts; none: "NULL"
    std::string instruction = {};     ///< the task, as "Find pictures of this place."; empty: the embedder's
};

/// Options of an embedder. The defaults are Qwen3-VL-Embedding's.
struct EmbedderOptions {
    std::string instruction = "Represent the user's input.";  ///< of inputs without one, taken as it stands
    int dimensions = 0;  ///< first so many of a vector are kept and scaled to length 1 (Matryoshka); 0: all
    int tokens = 8192;   ///< of a prompt at most
    Truncation truncation = Truncation::keep_special;  ///< of longer ones
    MediaLimits media = {};                            ///< of pictures and clips
    BatchOptions batch = {};                           ///< how prompts are computed
    std::shared_ptr<FeatureCache> feature_cache = {};  ///< keeps encoded pictures; null: none are kept
    ProgressCallback progress = {};                    ///< stages "embed", in inputs, and those of pictures
};

/// Embeds texts, pictures, clips and mixtures of them as Qwen3-VL-Embedding does (`Qwen3VLEmbedder.process` of
/// github.com/QwenLM/Qwen3-VL-Embedding): an instruction as system message, the content as the user's, the opening of
/// an answer; the last token's hidden state after the final norm, scaled to length 1. The similarity of two inputs is
/// the dot product of their vectors. A text that spells a control token stays text. A clip is read as a video file is
/// there. Keeps a workspace; used by one thread at a time.
///
///     q::Embedder embedder(model);
///     const auto vector = embedder.embed({{q::Image::open("street.jpg")}});
template <class M>
class Embedder {
  public:
    /// Throws ConfigError where the options make no sense, PromptError where the model has no tokenizer;
    /// ContextOverflow, OutOfMemory.
    explicit Embedder(const M& model, const EmbedderOptions& options = {})
        : options_(checked(options)),
          states_(model, options.media, options.batch, options.tokens, options.feature_cache, options.progress) {}
    /// An embedder does not keep its model alive: name the model first.
    explicit Embedder(M&&, const EmbedderOptions& = {}) = delete;

    /// Numbers of a vector.
    int dimensions() const { return options_.dimensions > 0 ? options_.dimensions : M::dims::text.hidden; }
    /// Options as they were given.
    const EmbedderOptions& options() const { return options_; }
    /// The model, which outlives the embedder.
    const M& model() const { return states_.model(); }

    /// Tells vectors of this model and these options from others.
    std::uint64_t fingerprint() const {
        const MediaLimits& m = options_.media;
        const double numbers[] = {1.0 * dimensions(),
                                  1.0 * options_.tokens,
                                  1.0 * m.least_tokens,
                                  1.0 * m.largest_tokens,
                                  1.0 * m.least_frame_tokens,
                                  1.0 * m.largest_frame_tokens,
                                  1.0 * m.clip_tokens,
                                  m.fps,
                                  1.0 * m.min_frames,
                                  1.0 * m.max_frames,
                                  options_.truncation == Truncation::cut_end ? 1.0 : 0.0};
        const auto bytes = std::as_bytes(std::span(numbers));
        return checksum(bytes.data(), bytes.size(), checksum(options_.instruction, model().fingerprint()));
    }

    /// The vectors of inputs [inputs][dimensions()], each of length 1. An input's has the same bits whatever others
    /// stand beside it. Throws ImageError, PromptError; ContextOverflow where control tokens and pictures alone are
    /// longer than EmbedderOptions::tokens; OutOfMemory, Cancelled.
    std::vector<std::vector<float>> embed(std::span<const EmbedInput> inputs) {
        std::vector<std::vector<float>> out(inputs.size());
        states_.run(
            inputs.size(), "embed", [&](std::size_t i) { return prompt(inputs[i]); },
            [&](std::size_t i, const float* state) {
                out[i].assign(state, state + dimensions());
                detail::scale_to_unit(out[i]);
            });
        return out;
    }
    /// The vector of one input. Throws as the other.
    std::vector<float> embed(const EmbedInput& input) { return std::move(embed(std::span(&input, 1)).front()); }

    /// The prompt of an input as the model reads it, truncated. Throws as embed().
    Prompt prompt(const EmbedInput& input) {
        std::string instruction = detail::as_sentence(input.instruction);
        std::vector<Input> content;
        detail::add_ordered(content, input.content);
        Prompt prompt = states_.prompt(instruction.empty() ? options_.instruction : instruction, std::move(content));
        prompt.tokens = detail::truncated(states_.tokenizer(), prompt.tokens, static_cast<std::size_t>(options_.tokens),
                                          options_.truncation);
        return prompt;
    }

  private:
    static const EmbedderOptions& checked(const EmbedderOptions& o) {
        if (o.dimensions < 0 || o.dimensions > M::dims::text.hidden)
            throw ConfigError("EmbedderOptions::dimensions: expected 1 to " + std::to_string(M::dims::text.hidden) +
                              ", or 0 for all, found " + std::to_string(o.dimensions));
        if (o.tokens < 1)
            throw ConfigError("EmbedderOptions::tokens: expected at least 1, found " + std::to_string(o.tokens));
        return o;
    }

    EmbedderOptions options_;
    detail::LastStates<M> states_;
};

}  // namespace qwen3vl
