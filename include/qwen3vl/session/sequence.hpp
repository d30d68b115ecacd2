#pragma once
#include <concepts>
#include <qwen3vl/core/token_log.hpp>
#include <qwen3vl/fusion/stand_in.hpp>
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/session/layer_table.hpp>
#include <qwen3vl/session/page_pool.hpp>
#include <qwen3vl/session/prompt.hpp>
#include <qwen3vl/session/saved_state.hpp>
#include <span>

namespace qwen3vl::inline QWEN3VL_ABI {

template <class M>
class Workspace;

/// Checks bytes that a state's owner added to its file. An exception refuses the state.
using AcceptState = std::function<void(std::span<const std::byte> extra)>;

/// A conversation as the model remembers it: the record of its tokens, its layers' caches and masks, and the logits
/// after its last token. Tokens are appended first, and computed by Workspace::forward(). Used by one thread at a time;
/// the model, and the pool if there is one, outlive it.
template <class M>
class Sequence {
    using D = typename M::dims;
    using P = typename M::policies;
    using Text = typename P::Text;
    static constexpr std::size_t period = detail::layer_period<P>;

    template <class F>
    static constexpr bool all_caches(F&& f) {
        bool all = true;
        for (std::size_t i = 0; i < period; ++i)
            detail::with_layer_slots<P>(
                i, [&](auto index) { all = all && f(type_tag<typename detail::LayerSlots<P, index()>::KvCache>{}); });
        return all;
    }

  public:
    /// The longest context that the position policy counts to.
    static constexpr std::int64_t max_context = Text::Position::max_positions(D::text);
    /// True if every layer's cache, and every policy that keeps a state, can drop its latest tokens.
    static constexpr bool can_rewind =
        all_caches([]<class C>(type_tag<C>) { return C::can_rewind; }) && detail::PolicyStates<D, P>::can_rewind;
    /// True if every layer's cache, and every policy's state, can be written to a file and read back.
    static constexpr bool can_save =
        all_caches([]<class C>(type_tag<C>) { return C::can_save; }) && detail::PolicyStates<D, P>::can_save;
    /// True if the caches lie in pages of a PagePool, which sequences share.
    static constexpr bool can_share = detail::in_pages<P>;
    /// True if another sequence can go on from where this one stands: pages are shared, kv_cache::ByModality is copied.
    static constexpr bool can_fork =
        can_share || all_caches([]<class C>(type_tag<C>) { return kv_cache::CopiedByForks<C>; });

    /// Takes the memory of its caches, and room on disk where a cache keeps tokens there. Throws ContextOverflow,
    /// OutOfMemory where it exceeds what the machine has available, FileError where the disk has no room.
    template <std::same_as<SequenceOptions> Options = SequenceOptions>
    explicit Sequence(const M& model, const Options& options = {}) : Sequence(model, nullptr, options) {
        static_assert(
            !can_share,
            "qwen3vl: slot kv_cache: Paged keeps tokens in a pool that sequences share; make a PagePool of the "
            "model, and Sequence(pool) or Session(pool)");
    }
    /// A sequence on a pool, for Paged caches: keys and values lie in the pool, all other memory is its own. Throws as
    /// above.
    explicit Sequence(PagePool<M>& pool, const SequenceOptions& options = {})
        : Sequence(pool.model(), &pool, options) {}
    explicit Sequence(M&&, const SequenceOptions& = {}) = delete;
    Sequence(const Sequence&) = delete;
    Sequence& operator=(const Sequence&) = delete;

    /// The model, which outlives the sequence.
    const M& model() const { return *model_; }
    /// The pool of its pages; null where the caches keep tokens themselves.
    PagePool<M>* pool() const { return pool_; }
    /// Options as they were given.
    const SequenceOptions& options() const { return options_; }
    /// Tokens that are computed, those that wait behind them, and how many of both it can hold.
    std::int64_t length() const { return length_; }
    /// Tokens that are logged and not computed.
    std::int64_t pending() const { return log_.size() - length_; }
    /// Tokens that it can hold, computed and pending.
    std::int64_t context() const { return options_.context; }
    /// The tokens, pending ones included.
    const TokenLog& tokens() const { return log_; }
    /// Tokens of the next chunk, of at most `most` pending ones: where by some layer's mask the tokens of a picture see
    /// each other (mask::BidirectionalPictures), a chunk ends outside of pictures.
    std::int64_t next_chunk(std::int64_t most) const {
        const std::int64_t end = std::min(length_ + most, log_.size());
        if (!detail::looks_ahead<P> || log_.after(end) != TokenLog::inside) return end - length_;
        const std::int64_t begin = log_.types().picture_begin(end);
        return begin > length_ ? begin - length_ : end - length_;
    }
    /// Throws PromptError where next_chunk() of so many tokens finds no end outside of a pending picture.
    void require_chunks(std::int64_t most) const {
        for (const SequencePicture& p : log_.pictures())
            if (const std::int64_t tokens = p.end() - std::max(p.first, length_);
                detail::looks_ahead<P> && tokens > most)
                throw PromptError("a picture of " + std::to_string(tokens) + " tokens at token " +
                                  std::to_string(p.first) + " does not fit a chunk of " + std::to_string(most) +
                                  ", and by the mask its tokens see each other; raise SessionOptions::chunk, choose a "
                                  "kv_cache that takes longer chunks, or make the picture smaller");
    }
    /// Difference between the next token's M-RoPE position and its sequence index: not above 0, below it after
    /// pictures.
    std::int64_t rope_delta() const { return log_.after(length_) - length_; }

    /// Logs a prompt's tokens behind those there are. Throws PromptError, ContextOverflow; nothing is logged then.
    void append(const Prompt& prompt);
    /// Logs a text token. Makes no heap allocation. Throws as the other.
    void append(int token) {
        require_room(1);
        require_token(token);
        require_cache_room(1, 0);
        log_.append(token);
    }

    /// Pictures and frame pairs that took the fuller policy of fusion::Dynamic; 0 where the fusion policy is another.
    std::int64_t fuller_pictures() {
        using Fusion = typename P::Fusion;
        if constexpr (requires(const state_of<Fusion>& s) { Fusion::fuller_pictures(s, 0); })
            return Fusion::fuller_pictures(states_->template of<Fusion>(),
                                           std::count_if(log_.pictures().begin(), log_.pictures().end(),
                                                         [&](const SequencePicture& p) { return p.end() <= length_; }));
        else
            return 0;
    }

    /// A prefix of a prompt: its first tokens, and the pictures and clips among them.
    struct Prefix {
        std::int64_t tokens = 0;  ///< from the first on
        std::size_t visuals = 0;  ///< pictures and clips whose tokens are all among them
    };
    /// Longest common prefix of a prompt and the computed tokens, pictures included, and without the prompt's last
    /// token. Ends outside of pictures and clips. Throws PromptError as append().
    Prefix common_prefix(const Prompt& prompt);

    /// Reuses pages of the pool that hold pending tokens, all but the last; these count as computed then. Returns how
    /// many.
    template <class Team>
    std::int64_t match_prefix(Team& team);
    /// Makes room for all pending tokens at once, where caches lie in pages. Throws PoolExhausted.
    void reserve() { pages_.reserve_tokens(length_, pending()); }

    /// True if there are logits of the last computed token; logits() is those, [vocab], and throws PromptError without
    /// any.
    bool has_logits() const { return logits_after_ == length_; }
    /// Logits of the last computed token, [vocab]; valid until the next pass. Throws PromptError where there are none.
    std::span<const float> logits() const {
        if (!has_logits()) throw PromptError("the session has no logits: append a prompt first");
        return {logits_, static_cast<std::size_t>(D::text.vocab)};
    }

    /// Forgets all but the first `tokens` tokens, pending ones included. Throws PromptError where that is more than are
    /// computed, or lies inside a picture. The logits stay where nothing was forgotten.
    void rewind(std::int64_t tokens) {
        static_assert(
            can_rewind,
            "qwen3vl: slot kv_cache: a ring has overwritten what rewind() would go back to; use kv_cache::Contiguous");
        if (tokens < 0 || tokens > length_ || log_.after(tokens) == TokenLog::inside)
            throw PromptError("rewind: expected a length from 0 to " + std::to_string(length_) +
                              " outside of pictures, found " + std::to_string(tokens));
        cut(tokens);
    }
    /// Forgets everything.
    void reset() { cut(0); }
    /// Takes back the tokens appended since `length` tokens were computed and none were pending. A cache that cannot
    /// rewind is emptied where some of it was computed.
    void cancel(std::int64_t length) { cut(length_ <= length ? length_ : can_rewind ? length : 0); }

    /// Replaces its tokens by those of another sequence on the same pool, whose pages both refer to; caches that are in
    /// no pool are copied. Throws ContextOverflow.
    template <class Team>
    void share(Sequence& other, Team& team);

    /// Writes the tokens, logits and caches to a file, and behind them the pieces of `extra`, one after the other. A
    /// file that was there stays until the new one is complete. Throws FileError.
    void save(const std::string& path, std::span<const std::span<const std::byte>> extra = {});
    /// Restores a saved sequence of the same weights, caches and positions, whatever its context: the next logits have
    /// the same bits. `accept` is called when all else is found to be right. Throws FileError; LoadError where the file
    /// is damaged or of another model; ContextOverflow or PoolExhausted where it does not fit; and what `accept`
    /// throws. The sequence is then as before. No other sequence finds a pool's pages that were restored.
    template <class Team>
    void restore(const std::string& path, Team& team, const AcceptState& accept = {});

  private:
    friend class Workspace<M>;

    Sequence(const M& model, PagePool<M>* pool, const SequenceOptions& options);

    /// Steps of Workspace::forward() beside computing. hold() and release() come in pairs, between which the memory
    /// stays resident.
    void hold() {
        if (holders_++ == 0) hold_.emplace(memory::hold_all(memory_, true));
    }
    void release() {
        if (--holders_ == 0) hold_.reset();
    }
    struct ResidencyGuard {
        Sequence* sequence;
        explicit ResidencyGuard(Sequence& s) : sequence(&s) { s.hold(); }
        ResidencyGuard(const ResidencyGuard&) = delete;
        ResidencyGuard& operator=(const ResidencyGuard&) = delete;
        ~ResidencyGuard() { sequence->release(); }
    };
    /// Stages logits [vocab] of the last token that commit() will make computed; null: none.
    void stage_logits(const float* logits) {
        staged_ = logits != nullptr;
        if (logits) std::copy_n(logits, D::text.vocab, spare_logits_);
    }
    /// Marks the first `count` pending tokens as computed; staged logits become those after them.
    void commit(std::int64_t count) {
        length_ += count;
        if (staged_) {
            std::swap(logits_, spare_logits_);
            logits_after_ = length_;
        }
        staged_ = false;
        log_.release_features(length_);
        pages_.publish(length_);
    }
    /// Undoes a failed pass: caches go back to the computed tokens, or are emptied where they cannot rewind.
    void fail() {
        staged_ = false;
        if (!can_rewind) return reset();
        pages_.shorten(length_);
        states_->rewind(length_);
    }

    void cut(std::int64_t tokens) {
        log_.truncate(tokens);
        length_ = tokens;
        pages_.shorten(tokens);
        states_->rewind(tokens);
        if (tokens < logits_after_) logits_after_ = none;
    }
    /// Updates masks that choose keys by the cached keys of tokens [first, first + count), which were not computed
    /// here.
    template <class Team>
    void update_masks(Team& team, std::int64_t first, std::int64_t count) {
        if (count == 0) return;
        layers_.visit([&]<class S>(S, std::size_t, auto& layer) {
            S::MaskState::update(layer.mask, team, first, count, kv_cache::later_tiles_of(layer.cache, first + count));
        });
    }

    void require_room(std::int64_t n) const {
        if (n < 1) throw PromptError("the prompt is empty");
        if (n > options_.context - log_.size())
            throw ContextOverflow("the context holds " + std::to_string(log_.size()) + " of " +
                                  std::to_string(options_.context) +
                                  " tokens: " + std::to_string(options_.context - log_.size()) +
                                  " fit, the prompt has " + std::to_string(n));
    }
    /// Throws ContextOverflow where a cache that keeps modalities apart cannot take so many more tokens of each.
    void require_cache_room(std::int64_t language, std::int64_t vision) const {
        const std::int64_t visual = log_.types().visual_before(log_.size());
        require_cache_room_for(language + log_.size() - visual, vision + visual);
    }
    /// As the other, for so many tokens in all.
    void require_cache_room_for([[maybe_unused]] std::int64_t language, [[maybe_unused]] std::int64_t vision) const {
        for (std::size_t i = 0; i < period; ++i)
            detail::with_layer_slots<P>(i, [&](auto index) {
                using S = detail::LayerSlots<P, index()>;
                if constexpr (kv_cache::ByModalities<typename S::KvCache>)
                    if (!S::KvCache::holds(S::extent(D::text, options_.context), language, vision))
                        throw ContextOverflow("the context of " + std::to_string(options_.context) +
                                              " tokens has no room for " + std::to_string(language) +
                                              " tokens of text and " + std::to_string(vision) +
                                              " of pictures: kv_cache::ByModality has less memory by its Compression; "
                                              "state a lower ratio, or give a longer context");
            });
    }
    /// Throws ContextOverflow where the fusion policy cannot keep so many rows of features outside of the sequence.
    void require_visual_room([[maybe_unused]] std::int64_t visual_tokens) const {
        if constexpr (fusion::KeepsOutside<typename P::Fusion>) {
            const std::int64_t most = P::Fusion::visual_capacity(options_.context);
            if (visual_tokens > most)
                throw ContextOverflow("the sequence's pictures have " + std::to_string(visual_tokens) +
                                      " visual tokens; the fusion policy " + P::Fusion::name + " keeps " +
                                      std::to_string(most) + ": give it a larger capacity");
        }
    }
    static void require_token(int token) {
        if (token < 0 || token >= D::text.vocab)
            throw PromptError("token id: expected 0 to " + std::to_string(D::text.vocab - 1) + ", found " +
                              std::to_string(token));
    }
    static std::vector<VisualSpan> spans_of(const Prompt& prompt);
    void log(std::span<const int> ids, const Layout& layout);
    std::uint64_t state_key();
    static std::int64_t visual_in(const detail::SavedHeader& header);
    std::int64_t saved_bytes(std::int64_t tokens, const detail::SavedHeader& header);

    static constexpr std::int64_t none = -1;

    const M* model_;
    PagePool<M>* pool_;
    SequenceOptions options_;
    typename P::Memory memory_;
    TokenLog log_;
    detail::OffloadFile<D, P> file_;
    [[no_unique_address]] detail::SessionPages<D, P> pages_;
    detail::LayerTable<D, P> layers_;
    std::optional<detail::PolicyStates<D, P>> states_;
    float *logits_ = nullptr, *spare_logits_ = nullptr;
    bool staged_ = false;
    std::int64_t length_ = 0;
    std::int64_t logits_after_ = none;  ///< number of tokens that the logits follow
    std::optional<decltype(memory::hold_all(std::declval<const typename P::Memory&>(), true))> hold_;
    int holders_ = 0;
};

// Members that hold the kernels are defined here, apart from the class. Members defined within it are inline, and
// inline ones are compiled anew in every file, `extern template` or not.

template <class M>
Sequence<M>::Sequence(const M& model, PagePool<M>* pool, const SequenceOptions& options)
    : model_(&model), pool_(pool), options_(options) {
    if (options.context < 1 || options.context > max_context)
        throw ContextOverflow("context: expected 1 to " + std::to_string(max_context) + " tokens, found " +
                              std::to_string(options.context));
    detail::SequenceMemory<D, P> places;
    const auto visit = [&](auto&& f) { places.visit(options, f); };
    if (!options.tiers)
        memory::require_available(memory::footprint_of<typename P::Memory>(visit),
                                  "a sequence of " + std::to_string(options.context) + " tokens",
                                  "shorten the context or choose a smaller kv_cache policy");
    memory_ = memory::allocate<typename P::Memory>(options.tiers, visit);
    const ResidencyGuard held(*this);
    log_ = TokenLog(places.log, options.context);
    logits_ = reinterpret_cast<float*>(places.logits);
    spare_logits_ = logits_ + D::text.vocab;
    file_.open(options, places.frames);
    if constexpr (can_share) pages_.open(pool->store(), places.block_table, log_);
    states_.emplace(options.context, places.states);
    layers_.open(places, options.context, model.parameters(), log_.types(), file_, pages_);
}

template <class M>
std::vector<VisualSpan> Sequence<M>::spans_of(const Prompt& prompt) {
    std::vector<VisualGrid> grids;
    std::optional<TokenIds> ids;
    if constexpr (VisionLanguageDims<D>) {
        ids = D::tokens;
        for (const auto& v : prompt.visuals) {
            if (!v || v->width != D::text.hidden || static_cast<int>(v->deepstack.size()) != D::vision.deepstack_count)
                throw PromptError("picture " + std::to_string(grids.size() + 1) + " was not encoded by this model");
            if (v->stand_in != fusion::stand_in_of<typename P::Fusion>())
                throw PromptError("picture " + std::to_string(grids.size() + 1) +
                                  " was encoded by a model with another fusion policy");
            grids.push_back({v->grid, v->merge, v->places, v->stand_in});
        }
    } else if (!prompt.visuals.empty()) {
        throw PromptError("this model has no vision tower: the prompt must be text");
    }
    return visual_spans(prompt.tokens, grids, ids);
}

template <class M>
void Sequence<M>::log(std::span<const int> ids, const Layout& layout) {
    auto span = layout.spans.begin();
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        while (span != layout.spans.end() && at >= span->first + span->count) ++span;
        const bool seen = span != layout.spans.end() && at >= span->first;
        log_.append(ids[i], layout.positions[i], static_cast<int>(layout.after[i]),
                    seen ? Modality::vision : Modality::language);
    }
}

template <class M>
void Sequence<M>::append(const Prompt& prompt) {
    const auto n = static_cast<std::int64_t>(prompt.tokens.size());
    require_room(n);
    for (const int token : prompt.tokens) require_token(token);
    const Layout layout = lay_out(n, spans_of(prompt), log_.after(log_.size()));
    std::vector<SequencePicture> pictures;
    for (const auto& s : layout.spans) {
        const auto& features = prompt.visuals[s.visual];
        // frame pairs of a clip have one content
        const bool again = s.row > 0 && !pictures.empty();
        pictures.push_back({.first = log_.size() + s.first,
                            .rows = s.rows,
                            .columns = s.columns,
                            .tokens = s.count,
                            .features = s.features,
                            .feature_row = s.row,
                            .content = again ? pictures.back().content : content_hash(*features),
                            .known = features,
                            .pending = features});
    }
    std::int64_t visual_tokens = 0;
    for (const auto& p : pictures) visual_tokens += p.features;
    require_visual_room(visual_tokens + log_.visual_tokens());
    std::int64_t visual = 0;
    for (const auto& s : layout.spans) visual += s.count;
    require_cache_room(n - visual, visual);
    log(prompt.tokens, layout);
    for (auto& p : pictures) log_.note(std::move(p));
}

template <class M>
auto Sequence<M>::common_prefix(const Prompt& prompt) -> Prefix {
    const auto ids = log_.ids();
    std::int64_t common = 0;
    const std::int64_t most = std::min(length_, static_cast<std::int64_t>(prompt.tokens.size()) - 1);
    while (common < most && ids[static_cast<std::size_t>(common)] == prompt.tokens[static_cast<std::size_t>(common)])
        ++common;
    const auto spans = spans_of(prompt);
    const auto pictures = log_.pictures();
    std::size_t picture = 0;
    std::array<std::uint64_t, 2> content{};
    std::size_t hashed = spans.size();  // the visual that `content` is of
    const auto same = [&](const VisualSpan& s) {
        while (picture < pictures.size() && pictures[picture].first < s.first) ++picture;
        if (picture == pictures.size()) return false;
        const SequencePicture& p = pictures[picture];
        if (p.first != s.first || p.tokens != s.count || p.rows != s.rows || p.columns != s.columns ||
            p.feature_row != s.row)
            return false;
        const auto& features = prompt.visuals[s.visual];
        if (p.known.lock() == features) return true;
        if (hashed != s.visual) content = content_hash(*features);
        hashed = s.visual;
        if (p.content != content) return false;
        log_.recognise(picture, features);
        return true;
    };
    std::int64_t begin = 0;  // of the picture or clip
    std::size_t visuals = 0;
    for (std::size_t i = 0; i < spans.size() && spans[i].first < common; ++i) {
        if (i == 0 || spans[i].visual != spans[i - 1].visual) begin = spans[i].first;
        const bool last = i + 1 == spans.size() || spans[i + 1].visual != spans[i].visual;
        const std::int64_t end = last ? spans[i].first + spans[i].count : spans[i + 1].first + 1;
        if (end > common || !same(spans[i])) return {begin, spans[i].visual};
        if (last) visuals = spans[i].visual + 1;
    }
    return {common, visuals};
}

template <class M>
template <class Team>
std::int64_t Sequence<M>::match_prefix(Team& team) {
    if (detail::PolicyStates<D, P>::any) return 0;  // nobody computed what they would keep
    const std::int64_t first = length_, found = pages_.take_over(first, log_.size() - 1);
    const ResidencyGuard held(*this);
    update_masks(team, first, found);
    length_ += found;
    log_.release_features(length_);
    return found;
}

template <class M>
template <class Team>
void Sequence<M>::share(Sequence& other, Team& team) {
    static_assert(can_fork,
                  "qwen3vl: slot kv_cache: this cache belongs to one session, which cannot fork; use kv_cache::Paged");
    if (other.log_.size() > context())
        throw ContextOverflow("fork: the context holds " + std::to_string(context()) +
                              " tokens, the other sequence has " + std::to_string(other.log_.size()));
    const std::int64_t visual = other.log_.types().visual_before(other.log_.size());
    require_cache_room_for(other.log_.size() - visual, visual);
    const ResidencyGuard held(*this), held_other(other);
    reset();
    pages_.share(other.pages_);
    log_.copy(other.log_);
    if constexpr (!can_share)
        layers_.visit_owners(other.layers_, [&](auto& to, auto& from) {
            std::vector<std::byte> bytes;
            from.cache.for_each_piece(other.length_, [&](std::span<const std::byte> piece) {
                bytes.insert(bytes.end(), piece.begin(), piece.end());
            });
            auto at = bytes.begin();
            kv_cache::fill_pieces(to.cache, other.length_, [&](std::span<std::byte> piece) {
                std::copy_n(at, piece.size(), piece.begin());
                at += static_cast<std::ptrdiff_t>(piece.size());
            });
        });
    states_->copy(*other.states_, {log_.size(), log_.visual_tokens(), std::ssize(log_.pictures())});
    length_ = other.length_;
    if (other.has_logits()) std::copy_n(other.logits_, D::text.vocab, logits_);
    logits_after_ = other.has_logits() ? length_ : none;
    update_masks(team, 0, length_);
}

/// Stands in for the sequence of a model that was refused.
template <class M>
requires M::refused class Sequence<M> {
  public:
    static constexpr bool can_rewind = true, can_save = true, can_share = false;
    explicit Sequence(const M&, const SequenceOptions& = {});
    explicit Sequence(PagePool<M>&, const SequenceOptions& = {});
};

}  // namespace qwen3vl
