#pragma once
#include <concepts>
#include <qwen3vl/core/progress.hpp>
#include <qwen3vl/session/encode.hpp>
#include <qwen3vl/session/logprob.hpp>
#include <qwen3vl/session/saved_sequence.hpp>
#include <qwen3vl/session/workspace.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Results of append() beside the logits after the last token.
struct AppendOptions {
    ProgressCallback progress = {};  ///< stage "prefill", in tokens, between chunks
    TensorHook hook = {};            ///< sees intermediate results; "logits" of every token then, not only of the last
    std::vector<float>* hidden = nullptr;  ///< receives the final norm's output of every token, [tokens, hidden]
};

/// Scores of a continuation.
struct Score {
    std::vector<double> logprobs;  ///< natural logarithms of each token's probability after all before it
    /// Logarithm of the probability of the whole continuation.
    double sum() const {
        double all = 0;
        for (const double p : logprobs) all += p;
        return all;
    }
};

/// Owns a Sequence and, unless it is given one, a Workspace, over a model that outlives it. Used by one thread at a
/// time.
template <class M>
class Session {
    using D = typename M::dims;
    using P = typename M::policies;

  public:
    /// The longest context that the position policy counts to.
    static constexpr std::int64_t max_context = Sequence<M>::max_context;
    static constexpr bool can_rewind = Sequence<M>::can_rewind;  ///< rewind() works
    static constexpr bool can_save = Sequence<M>::can_save;      ///< save() and restore() work
    static constexpr bool can_share = Sequence<M>::can_share;    ///< tokens lie in a PagePool

    /// Takes all memory that decoding needs, and room on disk where a cache keeps tokens there. Throws ContextOverflow,
    /// OutOfMemory where it exceeds what the machine has available, FileError where the disk has no room.
    template <std::same_as<SessionOptions> Options = SessionOptions>
    explicit Session(const M& model, const Options& options = {}) : Session(model, nullptr, nullptr, options) {
        static_assert(
            !can_share,
            "qwen3vl: slot kv_cache: Paged keeps tokens in a pool that sessions share; make a PagePool of the "
            "model, and Session(pool)");
    }
    /// A session on a pool, for Paged caches: keys and values lie in the pool, which outlives the session. All other
    /// memory is taken as above.
    explicit Session(PagePool<M>& pool, const SessionOptions& options = {})
        : Session(pool.model(), &pool, nullptr, options) {}
    /// A session on a workspace that other sessions of the same thread use too, and that outlives it. Its memory and
    /// threads are there once; the options' chunk, threads and decode_threads are the workspace's then.
    template <std::same_as<SessionOptions> Options = SessionOptions>
    explicit Session(Workspace<M>& workspace, const Options& options = {})
        : Session(workspace.model(), nullptr, &workspace, options) {
        static_assert(
            !can_share,
            "qwen3vl: slot kv_cache: Paged keeps tokens in a pool that sessions share; make a PagePool of the "
            "model, and Session(pool, workspace)");
    }
    /// A session on a pool and on a workspace, both of which outlive it.
    Session(PagePool<M>& pool, Workspace<M>& workspace, const SessionOptions& options = {})
        : Session(pool.model(), &pool, &workspace, options) {}
    /// A session does not keep its model alive: name the model first.
    explicit Session(M&&, const SessionOptions& = {}) = delete;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// The model, which outlives the session.
    const M& model() const { return sequence_.model(); }
    /// The tokens and caches, for passes over several sequences.
    Sequence<M>& sequence() { return sequence_; }
    /// The tokens and caches.
    const Sequence<M>& sequence() const { return sequence_; }
    /// The memory and threads, its own or shared.
    Workspace<M>& workspace() { return *workspace_; }
    /// Tokens in the cache, and how many it can hold.
    std::int64_t length() const { return sequence_.length(); }
    /// Tokens that the session can hold.
    std::int64_t context() const { return sequence_.context(); }
    /// Difference between the next token's M-RoPE position and its sequence index: not above 0, below it after
    /// pictures.
    std::int64_t rope_delta() const { return sequence_.rope_delta(); }

    /// Appends a prompt; logits() are then those after its last token. A prefix that a pool's pages hold already is not
    /// computed again, unless the options ask for results of every token. Throws PromptError, ContextOverflow,
    /// PoolExhausted where a pool has too few pages left, Cancelled, and FileError where a cache keeps tokens on a disk
    /// that fails. The session is then as before the call, logits included; one whose cache cannot rewind is empty
    /// where some of the prompt was computed.
    void append(const Prompt& prompt, const AppendOptions& options = {});
    /// Appends one token. Makes no heap allocation. Throws as the other.
    void append(int token);
    /// Brings the session to hold a whole prompt, keeping the tokens and pictures that both begin with. Returns how
    /// many tokens were not computed again, since the session or the pool had them. Throws as append(); the session
    /// then holds the common prefix.
    std::int64_t resume(const Prompt& whole, const AppendOptions& options = {});
    /// Tokens of the last prompt that were found in the pool.
    std::int64_t reused_tokens() const { return reused_; }

    /// Appends a prompt (which may be empty after earlier ones) and the tokens of a continuation, and returns the log
    /// probability of each of these. Throws as append(); PromptError where nothing stands before the continuation.
    Score score(const Prompt& prompt, std::span<const int> continuation);

    /// Logits [vocab] after the last token. Valid until the next append.
    std::span<const float> logits() const { return sequence_.logits(); }

    /// Forgets all but the first `tokens` tokens; the logits stay where that forgets none. Throws PromptError where
    /// there are fewer or the end lies inside a picture.
    void rewind(std::int64_t tokens) { sequence_.rewind(tokens); }
    /// Empties the session.
    void reset() { sequence_.reset(); }

    /// Returns another session on the same pool, with the same options, that goes on from where this one stands. Both
    /// refer to the same pages, and the first to write to one copies it; kv_cache::ByModality is copied at once. Throws
    /// OutOfMemory. Only this session's thread may call it; afterwards each may have a thread of its own, unless they
    /// share a workspace.
    ///     auto other = session.fork();
    template <class Self = Session>
    Self fork() {
        static_assert(
            Sequence<M>::can_fork,
            "qwen3vl: slot kv_cache: this cache belongs to one session, which cannot fork; use kv_cache::Paged");
        return Self(*this, Fork{});
    }

    /// Writes the conversation so far to a file, what pictures left in the cache included. The pieces of `extra`
    /// follow, one after the other. A file that was there stays until the new one is complete. Throws FileError.
    void save(const std::string& path, std::span<const std::span<const std::byte>> extra = {});
    /// Restores a saved session of the same weights, caches and positions, whatever its context and threads: see
    /// Sequence::restore().
    void restore(const std::string& path, const AcceptState& accept = {});

  private:
    struct Fork {};

    Session(const M& model, PagePool<M>* pool, Workspace<M>* workspace, const SessionOptions& options)
        : options_(options),
          own_(workspace ? nullptr : make_workspace(model, options)),
          workspace_(workspace ? workspace : own_.get()),
          sequence_(make_sequence(model, pool, options)) {
        if (options.context > workspace_->options().context)
            throw ContextOverflow("SessionOptions::context: " + std::to_string(options.context) +
                                  " tokens, the workspace's context is " +
                                  std::to_string(workspace_->options().context));
    }
    Session(Session& other, Fork)
        : Session(other.model(), other.sequence_.pool(), other.own_ ? nullptr : other.workspace_, other.options_) {
        if constexpr (Sequence<M>::can_fork) sequence_.share(other.sequence_, workspace_->team());
    }
    static std::unique_ptr<Workspace<M>> make_workspace(const M& model, const SessionOptions& o) {
        if (o.context >= 1 && o.context <= max_context && !o.tiers) {
            std::int64_t bytes = 0;
            detail::for_each_session_block<D, P>(
                o, detail::team_size<typename P::Execution>(o),
                [&](const char*, std::int64_t b, const memory::Role&) { bytes += P::Memory::footprint(b); });
            memory::require_available(bytes, "a session of " + std::to_string(o.context) + " tokens",
                                      "shorten SessionOptions::context or choose a smaller kv_cache policy");
        }
        return std::make_unique<Workspace<M>>(model, detail::workspace_options<D, P>(o));
    }
    static Sequence<M> make_sequence(const M& model, [[maybe_unused]] PagePool<M>* pool, const SessionOptions& o) {
        if constexpr (can_share)
            return Sequence<M>(*pool, o.sequence());
        else
            return Sequence<M>(model, o.sequence());
    }
    /// Computes all pending tokens, of which the first stands at `begin` of a prompt of so many tokens.
    void compute(std::int64_t begin, std::int64_t total, std::int64_t logits, const AppendOptions& options,
                 const LogitsCallback& take = {});
    void append(const Prompt& prompt, const AppendOptions& options, std::int64_t logits, const LogitsCallback& take);

    SessionOptions options_;
    std::unique_ptr<Workspace<M>> own_;
    Workspace<M>* workspace_;
    Sequence<M> sequence_;
    std::int64_t reused_ = 0;
};

// Defined apart from the class for `extern template`, as in session/sequence.hpp.

template <class M>
void Session<M>::compute(std::int64_t begin, std::int64_t total, std::int64_t logits, const AppendOptions& options,
                         const LogitsCallback& take) {
    const std::int64_t step =
        std::min<std::int64_t>({options_.chunk < 1 ? 1 : options_.chunk, workspace_->options().rows,
                                detail::largest_chunk<D, P>(options_.context)});
    sequence_.require_chunks(step);
    std::int64_t wanted = 0;  // rows so far whose logits were taken
    for (std::int64_t i = begin; sequence_.pending() > 0;) {
        report(options.progress, "prefill", i, total);
        const std::int64_t count = sequence_.next_chunk(step), left = sequence_.pending() - count;
        const Chunk<M> chunk{&sequence_, count, std::clamp<std::int64_t>(logits - left, 0, count)};
        ForwardOptions forward;
        if (options.hook) forward.hook = options.hook;
        if (options.hidden) forward.hidden = options.hidden->data() + i * D::text.hidden;
        if (take) forward.logits = [&](std::int64_t first, ConstMatrix rows) { take(wanted + first, rows); };
        workspace_->forward({&chunk, 1}, forward);
        wanted += chunk.logits;
        i += count;
    }
    report(options.progress, "prefill", total, total);
}

template <class M>
void Session<M>::append(const Prompt& prompt, const AppendOptions& options, std::int64_t logits,
                        const LogitsCallback& take) {
    const std::int64_t before = length(), n = static_cast<std::int64_t>(prompt.tokens.size());
    sequence_.append(prompt);
    if (options.hidden) options.hidden->resize(static_cast<std::size_t>(n * D::text.hidden));
    try {
        const bool all = options.hook || options.hidden || logits > 1;
        reused_ = all ? 0 : sequence_.match_prefix(workspace_->team());
        sequence_.reserve();
        compute(reused_, n, logits, options, take);
    } catch (...) {
        sequence_.cancel(before);
        throw;
    }
}

template <class M>
void Session<M>::append(const Prompt& prompt, const AppendOptions& options) {
    append(prompt, options, 1, {});
}

template <class M>
void Session<M>::append(int token) {
    const std::int64_t before = length();
    sequence_.append(token);
    try {
        const Chunk<M> chunk{&sequence_, 1, 1};
        workspace_->forward({&chunk, 1});
    } catch (...) {
        sequence_.cancel(before);
        throw;
    }
}

template <class M>
std::int64_t Session<M>::resume(const Prompt& whole, const AppendOptions& options) {
    auto common = sequence_.common_prefix(whole);
    if constexpr (can_rewind) {
        rewind(common.tokens);
    } else if (common.tokens < length()) {
        reset();
        common = {};
    }
    append({{whole.tokens.begin() + common.tokens, whole.tokens.end()},
            {whole.visuals.begin() + static_cast<std::ptrdiff_t>(common.visuals), whole.visuals.end()}},
           options);
    return common.tokens + reused_;
}

template <class M>
Score Session<M>::score(const Prompt& prompt, std::span<const int> continuation) {
    if (prompt.tokens.empty() && !sequence_.has_logits())
        throw PromptError("score: expected a prompt before the continuation");
    Score score;
    const auto add = [&](const float* logits) {
        const std::size_t i = score.logprobs.size();
        if (i < continuation.size())
            score.logprobs.push_back(logprob({logits, static_cast<std::size_t>(D::text.vocab)}, continuation[i]));
    };
    Prompt whole = prompt;
    whole.tokens.insert(whole.tokens.end(), continuation.begin(), continuation.end());
    if (prompt.tokens.empty() && !continuation.empty()) add(logits().data());
    constexpr std::int64_t rows_at_once = 16;  // the head is read once for so many rows
    workspace_->reserve_logits(
        std::min<std::int64_t>(rows_at_once, static_cast<std::int64_t>(continuation.size()) + 1));
    const std::int64_t wanted = static_cast<std::int64_t>(continuation.size()) + (prompt.tokens.empty() ? 0 : 1);
    append(whole, {}, wanted, [&](std::int64_t, ConstMatrix rows) {
        for (std::int64_t r = 0; r < rows.rows; ++r) add(rows.row(r));
    });
    return score;
}

template <class M>
void Session<M>::save(const std::string& path, std::span<const std::span<const std::byte>> extra) {
    sequence_.save(path, extra);
}

template <class M>
void Session<M>::restore(const std::string& path, const AcceptState& accept) {
    sequence_.restore(path, workspace_->team(), accept);
}

/// Stands in for the session of a model that was refused: the same members, so that the refusal is the only error.
template <class M>
requires M::refused class Session<M> {
  public:
    static constexpr std::int64_t max_context = 0;
    static constexpr bool can_rewind = true, can_save = true, can_share = false;
    explicit Session(const M&, const SessionOptions& = {});
    explicit Session(PagePool<M>&, const SessionOptions& = {});
    explicit Session(Workspace<M>&, const SessionOptions& = {});
    Session(PagePool<M>&, Workspace<M>&, const SessionOptions& = {});
    const M& model() const;
    Sequence<M>& sequence();
    const Sequence<M>& sequence() const;
    Workspace<M>& workspace();
    Session fork();
    std::int64_t length() const;
    std::int64_t context() const;
    std::int64_t rope_delta() const;
    void append(const Prompt&, const AppendOptions& = {});
    void append(int);
    std::int64_t resume(const Prompt&, const AppendOptions& = {});
    std::int64_t reused_tokens() const;
    Score score(const Prompt&, std::span<const int>);
    std::span<const float> logits() const;
    void rewind(std::int64_t);
    void save(const std::string&, std::span<const std::span<const std::byte>> = {});
    void restore(const std::string&, const AcceptState& = {});
    void reset();
};

}  // namespace qwen3vl
