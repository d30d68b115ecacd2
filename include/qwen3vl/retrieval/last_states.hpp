#pragma once
#include <deque>
#include <limits>
#include <qwen3vl/chat/encode_chat.hpp>
#include <qwen3vl/retrieval/media_limits.hpp>
#include <qwen3vl/retrieval/truncation.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// How prompts are computed. Results do not depend on it.
struct BatchOptions {
    int rows = 512;     ///< tokens of all prompts together that pass the layers at once
    int tokens = 2048;  ///< tokens of prompts whose caches are in memory together; a longer prompt stands alone
    int threads = 0;    ///< 0: the execution policy's default
};

namespace detail {

/// Makes prompts of a system message and one of the user, and computes the final norm's output of each prompt's last
/// token.
template <class M>
class LastStates {
    using D = typename M::dims;
    using P = typename M::policies;

  public:
    /// `longest`: tokens of a prompt. Throws PromptError where the model has no tokenizer; ContextOverflow,
    /// OutOfMemory.
    LastStates(const M& model, const MediaLimits& limits, const BatchOptions& batch, std::int64_t longest,
               std::shared_ptr<FeatureCache> cache, ProgressCallback progress)
        : limits_(limits),
          batch_(batch),
          cache_(std::move(cache)),
          progress_(std::move(progress)),
          config_(model, assets_of(model)),
          workspace_(model, workspace_options(batch, longest)) {
        keep_fitted(config_.image);
        keep_fitted(config_.video);
        config_.video.fps.reset();
        config_.video.min_frames = 1;
        config_.video.max_frames = std::numeric_limits<int>::max();
        config_.video.cap_pixels_per_frame = false;
        if (!cache_) cache_ = std::make_shared<FeatureCache>(0);
    }

    const M& model() const { return workspace_.model(); }
    const tokenizer::Tokenizer& tokenizer() const { return *model().assets()->tokenizer; }

    /// The prompt of a conversation of two messages, ending with the opening of an answer. Pictures and clips pass the
    /// tower. Throws as Chat::ask.
    Prompt prompt(const std::string& system, std::vector<Input> user) {
        std::vector<MediaExtent> extents;
        Prompt prompt;
        for ([[maybe_unused]] Input& input : user) {
            if constexpr (VisionLanguageDims<D>) {
                if (const auto* image = std::get_if<Image>(&input))
                    input = fitted(*image, config_.image.layout.factor(), limits_);
                else if (const auto* clip = std::get_if<Video>(&input))
                    input = fitted(*clip, config_.video.layout.factor(), limits_);
                if (!std::holds_alternative<std::string>(input))
                    prompt.visuals.push_back(features_of(workspace_, input, config_, {}, *cache_, progress_).features);
            }
        }
        const auto message = message_of<M>(chat::Role::user, user, config_, extents);
        prompt.tokens =
            chat::encode_chat(tokenizer(), {{{chat::Role::system, {system}}, message}, {}}, media_sizes(extents), {})
                .ids;
        return prompt;
    }

    /// Calls take(index, state [hidden]) once for each of `count` prompts, which prompt_of(index) makes in order.
    /// Throws as Workspace::forward, and Cancelled.
    template <class PromptOf, class Take>
    void run(std::size_t count, const char* stage, PromptOf&& prompt_of, Take&& take) {
        std::vector<Prompt> prompts;
        std::int64_t tokens = 0;
        std::size_t first = 0;
        const auto compute_all = [&] {
            compute(prompts, [&](std::size_t i, const float* state) { take(first + i, state); });
            first += prompts.size();
            prompts.clear();
            tokens = 0;
        };
        for (std::size_t i = 0; i < count; ++i) {
            report(progress_, stage, static_cast<std::int64_t>(i), static_cast<std::int64_t>(count));
            Prompt prompt = prompt_of(i);
            const auto length = std::ssize(prompt.tokens);
            if (!prompts.empty() && tokens + length > batch_.tokens) compute_all();
            tokens += length;
            prompts.push_back(std::move(prompt));
        }
        compute_all();
        report(progress_, stage, static_cast<std::int64_t>(count), static_cast<std::int64_t>(count));
    }

  private:
    /// Leaves sizes as fitted() made them. A resolution policy of the model is not asked: the limits are the caller's.
    static void keep_fitted(auto& config) {
        config.min_pixels = 1;
        config.max_pixels = std::int64_t{1} << 48;
    }
    static const Assets& assets_of(const M& model) {
        const auto& assets = model.assets();
        if (!assets || !assets->tokenizer)
            throw PromptError("retrieval needs a tokenizer: expected tokenizer.json in the checkpoint's folder");
        return *assets;
    }
    static WorkspaceOptions workspace_options(const BatchOptions& batch, std::int64_t longest) {
        const auto context = static_cast<int>(std::clamp<std::int64_t>(longest, 1, Sequence<M>::max_context));
        return {.context = context, .rows = std::max(1, batch.rows), .threads = batch.threads};
    }

    template <class Take>
    void compute(const std::vector<Prompt>& prompts, Take&& take) {
        std::deque<Sequence<M>> sequences;
        for (const Prompt& prompt : prompts) {
            const auto context = std::ssize(prompt.tokens);
            if (context > workspace_.options().context)
                throw ContextOverflow("a prompt of " + std::to_string(context) + " tokens, of which at most " +
                                      std::to_string(workspace_.options().context) +
                                      " fit; control tokens and pictures are never cut");
            sequences.emplace_back(model(), SequenceOptions{.context = static_cast<int>(context)});
            sequences.back().append(prompt);
            sequences.back().require_chunks(workspace_.options().rows);
        }
        std::vector<float> hidden(static_cast<std::size_t>(workspace_.options().rows) * D::text.hidden);
        for (std::size_t first = 0; first < sequences.size();) {
            std::vector<Chunk<M>> chunks;
            std::int64_t rows = 0;
            for (std::size_t i = first; i < sequences.size() && rows < workspace_.options().rows; ++i) {
                if (looks_ahead<P> && rows > 0) break;  // its pictures may need all rows
                const std::int64_t most =
                    std::min(workspace_.options().rows - rows, largest_chunk<D, P>(sequences[i].options().context));
                chunks.push_back({&sequences[i], sequences[i].next_chunk(most), 0});
                rows += chunks.back().count;
                if (chunks.back().count < sequences[i].pending()) break;
            }
            workspace_.forward(chunks, {.hidden = hidden.data()});
            std::int64_t end = 0;
            for (const Chunk<M>& c : chunks) {
                end += c.count;
                if (c.sequence->pending() == 0) take(first++, hidden.data() + (end - 1) * D::text.hidden);
            }
        }
    }

    MediaLimits limits_;
    BatchOptions batch_;
    std::shared_ptr<FeatureCache> cache_;
    ProgressCallback progress_;
    MediaConfig<M> config_;
    Workspace<M> workspace_;
};

}  // namespace detail
}  // namespace qwen3vl
