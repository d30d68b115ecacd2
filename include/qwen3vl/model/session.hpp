#pragma once
#include <concepts>
#include <qwen3vl/core/hooks.hpp>
#include <qwen3vl/memory/available.hpp>
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/model/page_pool.hpp>
#include <qwen3vl/model/positions.hpp>
#include <qwen3vl/model/saved_state.hpp>
#include <qwen3vl/model/session_file.hpp>
#include <qwen3vl/model/session_pages.hpp>
#include <qwen3vl/model/session_types.hpp>
#include <span>

namespace qwen3vl::inline QWEN3VL_ABI {

/// What append() shall do beside filling the cache.
struct AppendOptions {
    ProgressCallback progress = {};        ///< stage "prefill", in tokens, between chunks
    TensorHook hook = {};                  ///< sees intermediate results; "logits" of every token then, not only of the last
    std::vector<float>* hidden = nullptr;  ///< receives the final norm's output of every token, [tokens, hidden]
};

/// Sees what a session's owner added to a saved state, and the state's positions: [length + 1] the one that follows each prefix, -1 within a picture. What it
/// throws refuses the state.
using AcceptState = std::function<void(std::span<const std::byte> extra, std::span<const std::int64_t> positions)>;

/// One sequence: a KV cache and the memory to work in, over a model that outlives it. Used by one thread at a time.
template <class M>
class Session {
    using D = typename M::dims;
    using P = typename M::policies;
    using Arch = typename P::Arch;
    using Text = typename P::Text;
    using Team = typename P::Execution::Team;
    static constexpr std::size_t period = detail::layer_period<P>;

  public:
    /// The longest context that the position policy counts to.
    static constexpr std::int64_t max_context = Text::Position::max_positions(D::text);

    /// Takes all memory that decoding needs, and room on disk where a cache keeps tokens there. Throws OutOfMemory where it exceeds what the machine has
    /// available, FileError where the disk has no room.
    template <std::same_as<SessionOptions> Options = SessionOptions>
    explicit Session(const M& model, const Options& options = {}) : Session(model, nullptr, options) {
        static_assert(!can_share, "qwen3vl: slot kv_cache: Paged keeps tokens in a pool that sessions share; make a PagePool of the model, and Session(pool)");
    }
    /// Where caches are Paged: keys and values lie in the pool, which outlives the session; all other memory is taken as above.
    explicit Session(PagePool<M>& pool, const SessionOptions& options = {}) : Session(pool.model(), &pool, options) {}
    /// A session does not keep its model alive: name the model first.
    explicit Session(M&&, const SessionOptions& = {}) = delete;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    const M& model() const { return *model_; }
    /// Tokens in the cache, and how many it can hold.
    std::int64_t length() const { return static_cast<std::int64_t>(next_after_.size()) - 1; }
    std::int64_t context() const { return options_.context; }
    /// Difference between the next token's M-RoPE position and its sequence index: not above 0, below it after pictures.
    std::int64_t rope_delta() const { return next_after_.back() - length(); }

    /// A picture or clip through the vision tower. The result belongs to nobody's session and may be used again.
    std::shared_ptr<const VisualFeatures> encode(const Patches& patches, const ProgressCallback& progress = {},
                                                 const TensorHook& hook = {}) requires VisionLanguageDims<D>;

    /// Appends a prompt; logits() are then those after its last token. What a pool's pages hold of it already, from its beginning on, is not computed again,
    /// unless the options ask for results of every token. Throws PromptError, ContextOverflow (nothing is appended then), PoolExhausted where a pool has too
    /// few pages left, Cancelled, and FileError where a cache keeps tokens on a disk that fails. After the last three the session is as before the call; one
    /// whose cache cannot rewind is empty.
    void append(const Prompt& prompt, const AppendOptions& options = {});
    /// Tokens of the last prompt that were found in the pool.
    std::int64_t reused_tokens() const { return reused_; }

    /// Appends one token. Makes no heap allocation. Throws as the other.
    void append(int token);

    /// Logits [vocab] after the last token. Valid until the next append.
    std::span<const float> logits() const {
        if (!has_logits_) throw PromptError("the session has no logits: append a prompt first");
        return {logits_, static_cast<std::size_t>(D::text.vocab)};
    }

    /// Whether every layer's cache can give tokens back.
    static constexpr bool can_rewind = [] {
        bool all = true;
        for (std::size_t i = 0; i < period; ++i)
            detail::with_layer_slots<P>(i, [&](auto index) { all = all && detail::LayerSlots<P, index()>::KvCache::can_rewind; });
        return all;
    }();

    /// Forgets all but the first `tokens` tokens. Throws PromptError where that is more than there are or lies inside a picture.
    void rewind(std::int64_t tokens) {
        static_assert(can_rewind, "qwen3vl: slot kv_cache: a ring has overwritten what rewind() would go back to; use kv_cache::Contiguous");
        if (tokens < 0 || tokens > length() || next_after_[static_cast<std::size_t>(tokens)] == inside)
            throw PromptError("rewind: expected a length from 0 to " + std::to_string(length()) + " outside of pictures, found " + std::to_string(tokens));
        cut(tokens);
    }

    /// Whether sessions can share what their caches hold.
    static constexpr bool can_share = detail::in_pages<P>;

    /// Another session on the same pool and with the same options, which goes on from where this one stands: both refer to the same pages, and the first to
    /// write to one copies it. Throws OutOfMemory. Only this session's thread may call it; afterwards each may have a thread of its own.
    ///     auto other = session.fork();
    template <class Self = Session>
    Self fork() {
        static_assert(can_share, "qwen3vl: slot kv_cache: this cache belongs to one session, which cannot fork; use kv_cache::Paged");
        return Self(*this, Fork{});
    }

    /// Whether every layer's cache can be written to a file and read back.
    static constexpr bool can_save = [] {
        bool all = true;
        for (std::size_t i = 0; i < period; ++i)
            detail::with_layer_slots<P>(i, [&](auto index) { all = all && detail::LayerSlots<P, index()>::KvCache::can_save; });
        return all;
    }();

    /// Writes the conversation so far to a file, what pictures left in the cache included, and behind it the pieces of `extra`, one after the other. A file
    /// that was there stays until the new one is complete. Throws FileError.
    void save(const std::string& path, std::span<const std::span<const std::byte>> extra = {});

    /// Goes on where a session of the same weights, caches and positions was saved, whatever its context and threads: the next logits have the same bits.
    /// `accept` is called when all else is found to be right; without it, what was added is passed over. Throws FileError, LoadError where the file is damaged
    /// or of another model, ContextOverflow or PoolExhausted where it does not fit, and what `accept` throws; the session is then as before. No other session
    /// finds a pool's pages that were restored.
    void restore(const std::string& path, const AcceptState& accept = {});

    /// Empties the session.
    void reset() { cut(0); }

  private:
    static constexpr std::int64_t inside = -1;
    struct Fork {};

    Session(const M& model, PagePool<M>* pool, const SessionOptions& options);
    Session(Session& other, Fork) : Session(*other.pool_, other.options_) {
        pages_.share(other.pages_);
        next_after_.assign(other.next_after_.begin(), other.next_after_.end());
        std::ranges::copy(other.types_.saved(length()), types_.saved(length()).begin());
        if (other.has_logits_) std::copy_n(other.logits_, D::text.vocab, logits_);
        has_logits_ = other.has_logits_;
        [[maybe_unused]] const auto held = memory::hold_all(memory_, true);
        update_masks(0, length());
    }

    /// Forgets all but the first `tokens` tokens.
    void cut(std::int64_t tokens) {
        next_after_.resize(static_cast<std::size_t>(tokens) + 1);
        pages_.shorten(tokens);
        has_logits_ = false;
    }

    /// f(cache type, its extent, the layer's cache) for every layer that has one of its own.
    template <class F>
    void for_each_cache(F&& f) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(D::text.layers); ++i)
            detail::with_layer_slots<P>(i, [&](auto index) {
                using S = detail::LayerSlots<P, index()>;
                if (kv_cache::owner_of<typename S::KvCache>(static_cast<int>(i)) == static_cast<int>(i))
                    f(type_tag<typename S::KvCache>{}, S::extent(D::text, options_.context), std::get<index()>(caches_)[i / period]);
            });
    }
    /// Tells saved states that this session can go on from.
    std::uint64_t state_key() {
        std::uint64_t h = checksum(Text::Position::name, model_->fingerprint());
        for_each_cache([&](auto cache, const kv_cache::Extent& e, auto&) {
            using Cache = typename decltype(cache)::type;
            h = checksum(std::string(Cache::name) + ' ' + Cache::codec::name, h);
            const std::int64_t numbers[] = {Cache::capacity, kv_cache::tile_keys, e.kv_heads, kv_cache::stored_channels<Cache>(e.channels), e.span, e.sinks};
            h = checksum(reinterpret_cast<const std::byte*>(numbers), sizeof numbers, h);
        });
        for (int i = 0; i < D::text.layers; ++i)
            detail::with_layer_slots<P>(static_cast<std::size_t>(i), [&](auto index) {
                const int owner = kv_cache::owner_of<typename detail::LayerSlots<P, index()>::KvCache>(i);
                h = checksum(reinterpret_cast<const std::byte*>(&owner), sizeof owner, h);
            });
        // the options of the position policy show in what it writes for a token
        position::text_angles<Arch, typename Text::Position>(D::text, frequencies_, {1, 1, 1}, buffers_.cosines.row(0), buffers_.sines.row(0));
        for (const float* row : {buffers_.cosines.row(0), buffers_.sines.row(0)})
            h = checksum(reinterpret_cast<const std::byte*>(row), frequencies_.size() * sizeof(float), h);
        return detail::types_tokens<P> ? checksum("token types", h) : h;
    }
    /// Bytes of positions, types, logits and caches in a file of so many tokens.
    std::int64_t saved_bytes(std::int64_t tokens, std::int64_t logits) {
        std::int64_t bytes = (tokens + 1) * static_cast<std::int64_t>(sizeof(std::int64_t)) + detail::token_type_bytes<P>(tokens) +
                             logits * static_cast<std::int64_t>(sizeof(float));
        for_each_cache([&](auto cache, const kv_cache::Extent& e, auto&) { bytes += decltype(cache)::type::saved_bytes(e, tokens); });
        return bytes;
    }

    /// Masks that choose keys look at those of tokens [first, first + count) in the caches, which nobody computed here.
    void update_masks(std::int64_t first, std::int64_t count) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(D::text.layers); ++i)
            detail::with_layer_slots<P>(i, [&](auto index) {
                const auto& cache = std::get<index()>(caches_)[i / period];
                detail::LayerSlots<P, index()>::MaskState::update(std::get<index()>(masks_)[i / period], team_, first, count,
                                                                  kv_cache::later_tiles_of(cache, first + count));
            });
    }

    void require_room(std::int64_t n) const {
        if (n < 1) throw PromptError("the prompt is empty");
        if (n > options_.context - length())
            throw ContextOverflow("the context holds " + std::to_string(length()) + " of " + std::to_string(options_.context) +
                                  " tokens: " + std::to_string(options_.context - length()) + " fit, the prompt has " + std::to_string(n));
    }
    static void require_token(int token) {
        if (token < 0 || token >= D::text.vocab)
            throw PromptError("token id: expected 0 to " + std::to_string(D::text.vocab - 1) + ", found " + std::to_string(token));
    }

    void place(const std::vector<std::byte*>& blocks) {
        constexpr TextDims d = D::text;
        std::size_t next = 0;
        file_.open(options_, detail::frame_bytes<D, P>(options_) > 0 ? blocks[next++] : nullptr);
        if constexpr (can_share) pages_.open(pool_->store(), blocks[next++], options_.context);
        if constexpr (detail::types_tokens<P>) types_.open(blocks[next++]);
        std::vector<std::byte*> caches;  // of the layers
        for (std::size_t i = 0; i < static_cast<std::size_t>(d.layers); ++i)
            detail::with_layer_slots<P>(i, [&](auto index) {
                using S = detail::LayerSlots<P, index()>;
                const kv_cache::Extent e = S::extent(d, options_.context);
                const auto owner = static_cast<std::size_t>(kv_cache::owner_of<typename S::KvCache>(static_cast<int>(i)));
                if constexpr (!can_share) caches.push_back(owner == i ? blocks[next++] : caches[owner]);
                if constexpr (can_share)
                    std::get<index()>(caches_).emplace_back(pages_.table(), pages_.begin(owner), e);
                else if constexpr (NeedsTables<typename S::KvCache, TextDims>)
                    std::get<index()>(caches_).emplace_back(caches.back(), e, model_->tables().caches[owner]);
                else if constexpr (kv_cache::Offloads<typename S::KvCache>)
                    std::get<index()>(caches_).emplace_back(caches.back(), e, file_.template place_of<typename S::KvCache>(i));
                else
                    std::get<index()>(caches_).emplace_back(caches.back(), e);
                const std::int64_t channels = S::mask_channels(d);
                const bool keeps = S::MaskState::bytes(e.kv_heads, channels, e.tokens) > 0;
                std::get<index()>(masks_).push_back(
                    S::MaskState::in(keeps ? blocks[next++] : nullptr, e.kv_heads, channels, e.tokens, model_->tables().masks[i], types_.types()));
            });
        const auto floats = [&] { return reinterpret_cast<float*>(blocks[next++]); };
        const auto rows = [&](std::int64_t columns) { return Matrix(floats(), chunk_, columns); };
        buffers_.x = rows(d.hidden);
        buffers_.input = blocks[next++];
        buffers_.inner = blocks[next++];
        buffers_.qkv = rows(d.q_dim() + 2 * d.kv_dim());
        buffers_.queries = floats();
        buffers_.attended = rows(d.q_dim());
        buffers_.cosines = rows(d.head_dim / 2);
        buffers_.sines = rows(d.head_dim / 2);
        buffers_.scratch = floats();
        buffers_.rows = floats();
        logits_ = floats();
    }

    Layout lay_out_prompt(const Prompt& prompt) const {
        std::vector<VisualGrid> grids;
        std::optional<TokenIds> ids;
        if constexpr (VisionLanguageDims<D>) {
            ids = D::tokens;
            for (const auto& v : prompt.visuals) {
                if (!v || v->width != D::text.hidden || static_cast<int>(v->deepstack.size()) != D::vision.deepstack_count)
                    throw PromptError("picture " + std::to_string(grids.size() + 1) + " was not encoded by this model");
                grids.push_back({v->grid, v->merge});
            }
        } else if (!prompt.visuals.empty()) {
            throw PromptError("this model has no vision tower: the prompt must be text");
        }
        return lay_out(prompt.tokens, grids, ids, next_after_.back());
    }

    void embed(const int* tokens, std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) model_->embed(tokens[i], buffers_.x.row(i));
    }

    /// What a learned table of positions adds to tokens [first, first + count) of the sequence.
    void add_positions([[maybe_unused]] std::int64_t first, [[maybe_unused]] std::int64_t count) {
        if constexpr (NeedsTables<typename Text::Position, TextDims>)
            for (std::int64_t i = 0; i < count; ++i) Text::Position::template add<Arch>(model_->tables().position, D::text, first + i, buffers_.x.row(i));
    }

    /// Tokens [begin, begin + count) of a prompt.
    void run_chunk(const Prompt& prompt, const Layout& layout, std::int64_t begin, std::int64_t count, const AppendOptions& options) {
        const std::int64_t first = length();
        embed(prompt.tokens.data() + begin, count);
        // f(features, first row of them, rows of x) for what this chunk holds of each span
        const auto for_each_visual = [&](auto&& f) {
            for (const auto& s : layout.spans) {
                const std::int64_t from = std::max(s.first, begin), to = std::min(s.first + s.count, begin + count);
                if (from < to) f(*prompt.visuals[s.visual], s.row + from - s.first, Matrix(buffers_.x.row(from - begin), to - from, buffers_.x.cols));
            }
        };
        for_each_visual([](const VisualFeatures& v, std::int64_t row, Matrix x) { P::Fusion::embed(v, row, x); });
        add_positions(first, count);
        for (std::int64_t i = 0; i < count; ++i)
            position::text_angles<Arch, typename Text::Position>(D::text, frequencies_, layout.positions[static_cast<std::size_t>(begin + i)],
                                                                 buffers_.cosines.row(i), buffers_.sines.row(i));
        run_layers(count, first, [&](int layer) {
            if (options.hook) options.hook("text.layer", layer, buffers_.x.first(count));
            for_each_visual([&](const VisualFeatures& v, std::int64_t row, Matrix x) { P::Fusion::template after_layer<Arch>(layer, v, row, x); });
        });
        const auto n = static_cast<std::int64_t>(prompt.tokens.size());
        if (options.hook || options.hidden) {
            std::vector<float> normed(static_cast<std::size_t>(count * D::text.hidden));
            normalise(buffers_.x.first(count),
                      [&](std::int64_t row, const float* values) { std::copy_n(values, D::text.hidden, normed.data() + row * D::text.hidden); });
            if (options.hook) options.hook("text.norm", 0, {normed.data(), count, D::text.hidden, D::text.hidden});
            if (options.hidden) std::copy(normed.begin(), normed.end(), options.hidden->begin() + begin * D::text.hidden);
        }
        for (std::int64_t i = options.hook ? 0 : count - 1; i < count && (options.hook || begin + count == n); ++i) {
            compute_logits(buffers_.x.row(i));
            if (options.hook) options.hook("logits", 0, {logits_, 1, D::text.vocab, D::text.vocab});
        }
    }

    /// Layer `i`, which has the policies of member I of the period.
    template <std::size_t I, bool Stores>
    void run_layer(int i, std::int64_t count, std::int64_t first) {
        using S = detail::LayerSlots<P, I>;
        const auto layer = static_cast<std::size_t>(i);
        [[maybe_unused]] const auto held = model_->template hold_layer<I>(i);
        text::decoder_layer<Arch, typename Text::Norm, typename Text::Activation, typename S::Weights, typename Text::Ffn, typename S::Attention, Stores>(
            team_, D::text, model_->parameters().text.layers[layer], buffers_, std::get<I>(caches_)[layer / period], std::get<I>(masks_)[layer / period], count,
            first);
    }

    template <class After>
    void run_layers(std::int64_t count, std::int64_t first, After&& after) {
        for (int i = 0; i < D::text.layers; ++i) {
            if (!Text::Depth::runs(i, D::text.layers)) continue;
            detail::with_layer_slots<P>(static_cast<std::size_t>(i), [&](auto index) {
                using Cache = typename detail::LayerSlots<P, index()>::KvCache;
                if constexpr (kv_cache::shares_layers<Cache>)
                    if (kv_cache::owner_of<Cache>(i) != i) return run_layer<index(), false>(i, count, first);
                run_layer<index(), true>(i, count, first);
            });
            after(i);
        }
    }

    /// take(row, values) with the final norm of every row of x.
    template <class Take>
    void normalise(ConstMatrix x, Take&& take) {
        norm::normalise<Arch, typename Text::Norm>(team_, x, model_->parameters().text.norm, D::text.norm_eps, buffers_.rows, take);
    }

    void compute_logits(const float* x) {
        using Format = typename weights::paging<typename Text::EmbeddingWeights>::format;
        has_logits_ = false;
        const weights::Input normed{buffers_.input, 1, D::text.hidden};
        if (model_->head().data()) weights::announce<Arch, Format>(team_, std::array{&model_->head()});
        normalise({x, 1, D::text.hidden, D::text.hidden},
                  [&](std::int64_t, const float* values) { weights::traits<Format>::template encode<Arch>(normed, 0, 0, D::text.hidden, values); });
        model_->for_each_head_block([&](std::int64_t first, const weights::WeightMatrix& w) {
            weights::linear_store<Arch, Format>(team_, normed, w, nullptr, Matrix(logits_ + first, 1, w.rows()));
        });
        has_logits_ = true;
    }

    template <std::size_t... I>
    static auto cache_tuple(std::index_sequence<I...>) -> std::tuple<std::vector<typename detail::LayerSlots<P, I>::KvCache::Layer>...>;

    template <std::size_t... I>
    static auto mask_tuple(std::index_sequence<I...>) -> std::tuple<std::vector<typename detail::LayerSlots<P, I>::MaskState::type>...>;

    const M* model_;
    PagePool<M>* pool_;  ///< null where caches keep tokens themselves
    SessionOptions options_;
    Team team_;
    typename P::Memory memory_;
    detail::SessionFile<D, P> file_;
    [[no_unique_address]] detail::SessionPages<D, P> pages_;
    detail::SessionTypes<P> types_;
    decltype(cache_tuple(std::make_index_sequence<period>{})) caches_;
    decltype(mask_tuple(std::make_index_sequence<period>{})) masks_;
    text::Buffers buffers_{};
    float* logits_ = nullptr;
    std::int64_t chunk_ = 1;
    std::vector<float> frequencies_;
    std::vector<std::int64_t> next_after_;  ///< [length + 1] position that follows each prefix; `inside` within a picture
    std::int64_t reused_ = 0;
    bool has_logits_ = false;
};

// What holds the kernels is defined here, apart from the class: members defined within it are inline, and inline ones are compiled anew in every file,
// `extern template` or not.

template <class M>
Session<M>::Session(const M& model, PagePool<M>* pool, const SessionOptions& options)
    : model_(&model), pool_(pool), options_(detail::with_threads<P>(options)), team_(detail::team_size<P>(options_)) {
    if (options.context < 1 || options.context > max_context)
        throw ContextOverflow("SessionOptions::context: expected 1 to " + std::to_string(max_context) + " tokens, found " + std::to_string(options.context));
    chunk_ = detail::chunk_tokens<D, P>(options);
    std::int64_t bytes = 0;
    detail::for_each_session_block<D, P>(options, team_.threads(), [&](const char*, std::int64_t b, const memory::Role&) { bytes += P::Memory::footprint(b); });
    if (const auto free = memory::available(); free && bytes > *free && !options.tiers)
        throw OutOfMemory("a session of " + std::to_string(options.context) + " tokens needs " + std::to_string(bytes >> 20) + " MiB, available are " +
                          std::to_string(*free >> 20) + " MiB; shorten SessionOptions::context or choose a smaller kv_cache policy");
    memory_ = memory::make<typename P::Memory>(bytes, options.tiers);
    std::vector<std::byte*> blocks;
    detail::for_each_session_block<D, P>(options, team_.threads(),
                                         [&](const char*, std::int64_t b, const memory::Role& role) { blocks.push_back(memory::take(memory_, b, role)); });
    place(blocks);
    memory::settle(memory_);
    frequencies_ = position::frequencies<typename Text::Position>(D::text, D::text.head_dim);
    next_after_.reserve(static_cast<std::size_t>(options.context) + 1);
    next_after_.push_back(0);
}

template <class M>
std::shared_ptr<const VisualFeatures> Session<M>::encode(const Patches& patches, const ProgressCallback& progress,
                                                         const TensorHook& hook) requires VisionLanguageDims<D> {
    const Grid& g = patches.grid;
    const int merge = D::vision.merge;
    if (g.t < 1 || g.h < merge || g.w < merge || g.h % merge || g.w % merge ||
        static_cast<std::int64_t>(patches.values.size()) != g.patches() * D::vision.patch_values())
        throw ImageError("patches: a grid of " + std::to_string(g.t) + " x " + std::to_string(g.h) + " x " + std::to_string(g.w) + " with " +
                         std::to_string(patches.values.size()) + " values; rows and columns must be multiples of " + std::to_string(merge) +
                         ", and each patch has " + std::to_string(D::vision.patch_values()) + " values");
    team_.limit(detail::prefill_threads<P>(options_));
    vision::Encoder<Arch, detail::TowerSlots<P>, Team, decltype(model_->stage_holder())> encoder(D::vision, model_->parameters().vision, g, team_, hook,
                                                                                                 model_->stage_holder());
    VisualFeatures features = encoder.run(patches.values.data(), progress);
    P::Alignment::align(features);
    return std::make_shared<const VisualFeatures>(Text::TokenReduction::reduce(std::move(features)));
}

template <class M>
void Session<M>::append(const Prompt& prompt, const AppendOptions& options) {
    const auto n = static_cast<std::int64_t>(prompt.tokens.size());
    require_room(n);
    for (const int token : prompt.tokens) require_token(token);
    const Layout layout = lay_out_prompt(prompt);
    [[maybe_unused]] const auto held = memory::hold_all(memory_, true);
    const std::int64_t before = length();
    team_.limit(detail::prefill_threads<P>(options_));
    if (options.hidden) options.hidden->resize(static_cast<std::size_t>(n * D::text.hidden));
    const auto hold = [&](std::int64_t begin, std::int64_t count) {
        for (std::int64_t t = begin; t < begin + count; ++t) next_after_.push_back(layout.after[static_cast<std::size_t>(t)]);
    };
    try {
        types_.note(before, n, layout.spans);
        pages_.note(prompt, layout, before);
        reused_ = options.hook || options.hidden ? 0 : pages_.take_over(before, before + n - 1);
        pages_.make_room(before + reused_, n - reused_);
        hold(0, reused_);
        update_masks(before, reused_);
        for (std::int64_t i = reused_; i < n; i += chunk_) {
            report(options.progress, "prefill", i, n);
            const std::int64_t count = std::min(chunk_, n - i);
            run_chunk(prompt, layout, i, count, options);
            hold(i, count);
            pages_.publish(length());
        }
        report(options.progress, "prefill", n, n);
    } catch (...) {
        cut(can_rewind ? before : 0);
        throw;
    }
}

template <class M>
void Session<M>::append(int token) {
    require_room(1);
    require_token(token);
    [[maybe_unused]] const auto held = memory::hold_all(memory_, true);
    const std::int64_t first = length();
    team_.limit(detail::decode_threads<P>(options_));
    const int position = static_cast<int>(next_after_.back());
    types_.note(first, 1);
    pages_.note(token, first);
    embed(&token, 1);
    add_positions(first, 1);
    position::text_angles<Arch, typename Text::Position>(D::text, frequencies_, {position, position, position}, buffers_.cosines.row(0), buffers_.sines.row(0));
    try {
        run_layers(1, first, [](int) {});
        compute_logits(buffers_.x.row(0));
    } catch (...) {
        if (!can_rewind) reset();
        pages_.shorten(first);
        throw;
    }
    next_after_.push_back(position + 1);
    pages_.publish(first + 1);
}

template <class M>
void Session<M>::save(const std::string& path, std::span<const std::span<const std::byte>> extra) {
    static_assert(can_save, "qwen3vl: slot kv_cache: a layer's cache cannot be written to a file; choose one whose can_save is true");
    [[maybe_unused]] const auto held = memory::hold_all(memory_, true);
    detail::SavedHeader header;
    header.key = state_key();
    header.length = static_cast<std::uint64_t>(length());
    header.logits = has_logits_ ? D::text.vocab : 0;
    for (const auto piece : extra) header.extra += piece.size();
    header.bytes = detail::SavedHeader::file_bytes(saved_bytes(length(), has_logits_ ? D::text.vocab : 0) + static_cast<std::int64_t>(header.extra));
    detail::StateWriter out(path, header);
    out.write(std::as_bytes(std::span(next_after_)));
    out.write(types_.saved(length()));
    if (has_logits_) out.write(std::as_bytes(logits()));
    for_each_cache(
        [&](auto, const kv_cache::Extent&, auto& cache) { cache.for_each_piece(length(), [&](std::span<const std::byte> piece) { out.write(piece); }); });
    for (const auto piece : extra) out.write(piece);
    out.finish();
}

template <class M>
void Session<M>::restore(const std::string& path, const AcceptState& accept) {
    static_assert(can_save, "qwen3vl: slot kv_cache: a layer's cache cannot be read from a file; choose one whose can_save is true");
    detail::StateReader in(path);
    [[maybe_unused]] const auto held = memory::hold_all(memory_, true);
    const auto& header = in.header();
    if (header.key != state_key()) in.fail("saved by another model, with another kv_cache or position policy, or with a mask by modality here or there alone");
    if (header.length > static_cast<std::uint64_t>(context()))
        throw ContextOverflow(path + ": the saved session has " + std::to_string(header.length) + " tokens, the context holds " + std::to_string(context()));
    const auto tokens = static_cast<std::int64_t>(header.length);
    if ((header.logits != 0 && header.logits != D::text.vocab) || header.extra > header.bytes ||
        header.bytes - header.extra != detail::SavedHeader::file_bytes(saved_bytes(tokens, static_cast<std::int64_t>(header.logits))))
        in.fail("damaged: its sizes do not fit each other");
    std::vector<std::int64_t> next_after(static_cast<std::size_t>(tokens) + 1);
    in.read(std::as_writable_bytes(std::span(next_after)));
    for (std::size_t i = 0; i < next_after.size(); ++i)  // a picture takes fewer positions than tokens, never more
        if (const std::int64_t p = next_after[i]; p < inside || p > static_cast<std::int64_t>(i) || (p == inside && (i == 0 || i + 1 == next_after.size())))
            in.fail("damaged: position " + std::to_string(p) + " after " + std::to_string(i) + " tokens");
    const auto types = detail::SessionTypes<P>::read(in, next_after, inside);
    if (accept) accept(in.extra(), next_after);
    pages_.renew(tokens);
    next_after_.resize(1);
    has_logits_ = false;
    types_.restore(types, tokens);
    if (header.logits != 0) in.read(std::as_writable_bytes(std::span(logits_, static_cast<std::size_t>(D::text.vocab))));
    for_each_cache(
        [&](auto, const kv_cache::Extent&, auto& cache) { kv_cache::fill_pieces(cache, tokens, [&](std::span<std::byte> piece) { in.read(piece); }); });
    update_masks(0, tokens);
    next_after_.assign(next_after.begin(), next_after.end());
    has_logits_ = header.logits != 0;
}

/// Stands in for the session of a model that was refused: the same members, so that the refusal is the only error.
template <class M>
requires M::refused class Session<M> {
  public:
    static constexpr std::int64_t max_context = 0;
    static constexpr bool can_rewind = true;
    explicit Session(const M&, const SessionOptions& = {});
    explicit Session(PagePool<M>&, const SessionOptions& = {});
    static constexpr bool can_share = false;
    Session fork();
    std::int64_t reused_tokens() const;
    const M& model() const;
    std::int64_t length() const;
    std::int64_t context() const;
    std::int64_t rope_delta() const;
    std::shared_ptr<const VisualFeatures> encode(const Patches&, const ProgressCallback& = {}, const TensorHook& = {});
    void append(const Prompt&, const AppendOptions& = {});
    void append(int);
    std::span<const float> logits() const;
    void rewind(std::int64_t);
    static constexpr bool can_save = true;
    void save(const std::string&, std::span<const std::span<const std::byte>> = {});
    void restore(const std::string&, const AcceptState& = {});
    void reset();
};

}  // namespace qwen3vl
