#pragma once
#include <qwen3vl/core/aligned.hpp>
#include <qwen3vl/core/hooks.hpp>
#include <qwen3vl/core/pass.hpp>
#include <qwen3vl/core/space.hpp>
#include <qwen3vl/ops/ops.hpp>
#include <qwen3vl/session/sequence.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// The next pending tokens of a sequence, as a part of a forward pass.
template <class M>
struct Chunk {
    Sequence<M>* sequence = nullptr;  ///< outlives the pass
    std::int64_t count = 0;           ///< pending tokens to compute, from the first on
    std::int64_t logits = 0;          ///< wanted rows of logits: the last so many of the chunk
};

/// Receives logits of wanted rows [first, first + rows.rows), which are counted through all chunks in order.
using LogitsCallback = std::function<void(std::int64_t first, ConstMatrix rows)>;

/// Results of a forward pass beside the sequences' own.
struct ForwardOptions {
    TensorHook hook = {};        ///< sees intermediate results; "logits" of every row then
    float* hidden = nullptr;     ///< receives the final norm of every row, [rows, hidden]
    LogitsCallback logits = {};  ///< receives the wanted logits, in blocks of WorkspaceOptions::logits_rows
};

/// The memory and threads of a forward pass, for any number of sequences of a model, one pass at a time.
///
///     q::Workspace workspace(model, {.context = 8192, .threads = 4});
///     q::Sequence<Model> a(model, {.context = 8192}), b(model, {.context = 8192});
///     a.append(prompt);
///     b.append(token);
///     const q::Chunk<Model> chunks[] = {{&a, a.pending(), 1}, {&b, 1, 1}};
///     workspace.forward(chunks);  // then a.logits(), b.logits()
template <class M>
class Workspace {
    using D = typename M::dims;
    using P = typename M::policies;
    using Arch = typename P::Arch;
    using Text = typename P::Text;
    using Fusion = typename P::Fusion;
    using Position = typename Text::Position;
    static constexpr bool compares_rows = concepts::ComparesRows<typename Text::Depth>;
    static constexpr std::size_t period = detail::layer_period<P>;

  public:
    using Team = typename P::Execution::Team;                ///< threads of the execution policy
    using Ops = operations_of<typename P::Execution, Arch>;  ///< operations of the execution policy
    static_assert(std::is_same_v<space_of<typename P::Memory>, typename Ops::Space>,
                  "qwen3vl: slots execution and memory: the policy of memory gives another memory space than the "
                  "operations of the execution work on");

    /// Takes all memory that a pass needs. Throws ContextOverflow, OutOfMemory where it exceeds what the machine has
    /// available.
    explicit Workspace(const M& model, const WorkspaceOptions& options = {});
    /// A workspace does not keep its model alive: name the model first.
    explicit Workspace(M&&, const WorkspaceOptions& = {}) = delete;
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;

    /// The model, which outlives the workspace.
    const M& model() const { return *model_; }
    /// Options as they were given.
    const WorkspaceOptions& options() const { return options_; }
    /// The team, limited to the threads of decoding or of prompts.
    Team& team(bool decoding = false) {
        team_.limit(decoding ? options_.decode_threads : options_.threads);
        return team_;
    }

    /// Computes pending tokens of sequences: prefill, decoding and scoring are this one pass. A row has the same bits
    /// whatever rows stand beside it. Each sequence stands in one chunk at most, and has the logits of its last row
    /// then, if they are wanted. Makes no heap allocation where nothing but those is asked for. Throws PromptError for
    /// chunks that do not fit; FileError or PoolExhausted where a cache or streamed weights fail. Each sequence then
    /// holds what it did before, or nothing where its cache cannot rewind.
    void forward(std::span<const Chunk<M>> chunks, const ForwardOptions& options = {});

    /// Computes more rows of logits at once from now on, where memory for fewer was planned.
    void reserve_logits(std::int64_t rows) {
        if (rows <= memory_.logits.rows) return;
        more_input_ =
            aligned_bytes(static_cast<std::size_t>(Head::template activation_bytes<Arch>(rows, D::text.hidden)));
        more_logits_ = aligned_floats(static_cast<std::size_t>(rows * D::text.vocab));
        memory_.logits = Matrix(more_logits_.get(), rows, D::text.vocab);
    }

  private:
    using HeadFormat = typename weights::streaming<typename Text::EmbeddingWeights>::format;
    using Head = weights::traits<HeadFormat>;
    template <std::size_t I>
    using Caches = typename detail::LayerTable<D, P>::template Layer<I>;
    template <std::size_t I>
    using LayerChunks =
        std::vector<text::LayerChunk<decltype(Caches<I>::cache), decltype(Caches<I>::mask), typename Ops::Space>>;

    /// Keeps the memory of a pass where it is.
    struct ResidencyGuard {
        std::span<const Chunk<M>> chunks;
        std::size_t count = 0;
        explicit ResidencyGuard(std::span<const Chunk<M>> c) : chunks(c) {
            try {
                for (; count < chunks.size(); ++count) chunks[count].sequence->hold();
            } catch (...) {
                release();
                throw;
            }
        }
        ResidencyGuard(const ResidencyGuard&) = delete;
        ResidencyGuard& operator=(const ResidencyGuard&) = delete;
        ~ResidencyGuard() { release(); }
        void release() {
            while (count > 0) chunks[--count].sequence->release();
        }
    };

    std::int64_t require_fit(std::span<const Chunk<M>> chunks) const;
    void note_rows(std::span<const Chunk<M>> chunks);
    void begin_rows(std::span<const Chunk<M>> chunks, std::int64_t rows);
    void run_layers(std::span<const Chunk<M>> chunks, std::int64_t rows, const ForwardOptions& options);
    void run_head(std::span<const Chunk<M>> chunks, std::int64_t rows, const ForwardOptions& options);
    void compute_logits(ConstMatrix x);

    /// Calls f(sequence, index of the token, row) for every row.
    template <class F>
    static void for_each_token(std::span<const Chunk<M>> chunks, F&& f) {
        std::int64_t row = 0;
        for (const auto& c : chunks)
            for (std::int64_t i = 0; i < c.count; ++i) f(*c.sequence, c.sequence->length() + i, row++);
    }

    template <class Policy>
    using RowsOf = std::vector<SequenceRows<state_of<Policy>>>;
    Ops ops() { return Ops(team_, memory_.rows, text::row_floats(D::text)); }
    /// The pass as a policy sees it.
    template <class Policy>
    auto pass_of(const Ops& ops, const RowsOf<Policy>& sequences, const LoadedParameters<Policy>& parameters,
                 std::int64_t rows) {
        return Pass<Ops, LoadedParameters<Policy>, state_of<Policy>>{
            ops, model_dims<D>(), parameters, sequences, memory_.x.first(rows), memory_, memory_.fusion};
    }
    auto depth_pass(const Ops& ops, std::int64_t rows) {
        return pass_of<typename Text::Depth>(ops, depth_rows_, model_->parameters().depth, rows);
    }
    auto fusion_pass(const Ops& ops, std::int64_t rows) {
        return pass_of<Fusion>(ops, fusion_rows_, model_->parameters().fusion, rows);
    }

    /// The last last_rows(chunk) rows of each chunk, one behind another, as layer `i` is told of them: those that have
    /// any.
    template <std::size_t I, class LastRows>
    const LayerChunks<I>& chunks_of(std::span<const Chunk<M>> chunks, std::size_t i, LastRows&& last_rows) {
        auto& of_layer = std::get<I>(layer_chunks_);
        of_layer.clear();
        std::int64_t row = 0;
        for (const auto& c : chunks) {
            const std::int64_t n = last_rows(c);
            if (n == 0) continue;
            auto& layer = c.sequence->layers_.template at<I>(i);
            of_layer.emplace_back(layer.cache, layer.mask, D::text, memory_, row, n,
                                  c.sequence->length() + c.count - n);
            row += n;
        }
        return of_layer;
    }

    /// Layer `i`, which has the policies of member I of the period.
    template <std::size_t I, class Keys>
    void run_layer(std::span<const Chunk<M>> chunks, std::size_t i, std::int64_t rows, const TensorHook& hook,
                   bool wanted_alone) {
        using L = detail::LayerSlots<P, I>;
        using S = text::Slots<typename Text::Norm, typename Text::Activation, typename L::Weights, typename Text::Ffn,
                              typename L::Attention, typename L::KvCache, Keys>;
        using Weights = typename L::Weights;
        using Chunks = text::ChunksOf<S, typename Ops::Space>;
        const Chunks of_layer = chunks_of<I>(chunks, i, [](const Chunk<M>& c) { return c.count; });
        [[maybe_unused]] const auto held = model_->template hold_layer<I>(static_cast<int>(i));
        const Ops ops = this->ops();
        const Matrix x = memory_.x.first(rows);
        const auto layer = static_cast<int>(i);
        if constexpr (requires { Fusion::template before_layer<Weights>(fusion_pass(ops, rows), 0); }) {
            Fusion::template before_layer<Weights>(fusion_pass(ops, rows), layer);
            if (hook) hook("fusion.before_layer", layer, x);
        }
        if constexpr (compares_rows) ops.copy_rows(x, memory_.before);
        const auto& w = model_->parameters().text.layers[i];
        if constexpr (wanted_alone_in<I>)
            if (wanted_alone) {
                if constexpr (Keys::stores) text::store_keys<S>(ops, D::text, w, memory_, of_layer, rows, layer);
                keep_wanted(ops, chunks);
                wanted_in_front_ = true;
                const Chunks wanted = chunks_of<I>(chunks, i, [](const Chunk<M>& c) { return c.logits; });
                using Shared =
                    text::Slots<typename Text::Norm, typename Text::Activation, typename L::Weights, typename Text::Ffn,
                                typename L::Attention, typename L::KvCache, text::SharedKeys>;
                if (!wanted.empty())
                    text::decoder_layer<Shared>(ops, D::text, w, memory_, wanted,
                                                wanted.back().row + wanted.back().count, {ffn_rows_, layer});
                return;
            }
        text::decoder_layer<S>(ops, D::text, w, memory_, of_layer, rows, {ffn_rows_, layer});
        if constexpr (compares_rows)
            Text::Depth::template after_layer<Weights>(depth_pass(ops, rows), layer, memory_.before.first(rows));
        if (hook) hook("text.layer", layer, x);
        if constexpr (requires { Fusion::template after_layer<Weights>(fusion_pass(ops, rows), layer); })
            Fusion::template after_layer<Weights>(fusion_pass(ops, rows), layer);
    }

    /// True if the last layer may compute the wanted rows alone, where it has the policies of member I of the period:
    /// no policy looks at the others there.
    template <std::size_t I>
    static constexpr bool wanted_alone_in = [] {
        using L = detail::LayerSlots<P, I>;
        return !KeepsState<typename Text::Ffn> && !compares_rows &&
               !concepts::StatefulMask<typename L::Attention::mask> && !concepts::Recurrent<typename L::Attention> &&
               !kv_cache::Evicts<typename L::KvCache::Layer>;
    }();
    /// True if fusion does nothing after the layer: the policy itself says so, not one that it derives from.
    static constexpr bool fusion_ends(int layer) {
        if constexpr (requires { typename Fusion::Ends; })
            if constexpr (std::is_same_v<typename Fusion::Ends, Fusion>) return Fusion::ends(model_dims<D>(), layer);
        return false;
    }
    /// Moves the rows whose logits are wanted, and their angles, to the front.
    void keep_wanted(const Ops& ops, std::span<const Chunk<M>> chunks) {
        std::int64_t row = 0, wanted = 0;
        const auto move = [&](const Matrix& m, std::int64_t r) {
            if (r != wanted) ops.copy_rows(m.from(r).first(1), m.from(wanted).first(1));
        };
        for (const auto& c : chunks) {
            row += c.count;
            for (std::int64_t r = row - c.logits; r < row; ++r, ++wanted)
                for (const Matrix& m : {memory_.x, memory_.cosines, memory_.sines}) move(m, r);
        }
    }

    template <std::size_t... I>
    static auto chunk_tuple(std::index_sequence<I...>) -> std::tuple<LayerChunks<I>...>;

    const M* model_;
    WorkspaceOptions options_;
    Team team_;
    typename P::Memory blocks_;
    detail::WorkspaceMemory<typename Ops::Space> memory_;
    AlignedFloats more_logits_{nullptr, &std::free};
    AlignedBytes more_input_{nullptr, &std::free};
    decltype(chunk_tuple(std::make_index_sequence<period>{})) layer_chunks_;
    RowsOf<Fusion> fusion_rows_;
    RowsOf<typename Text::Ffn> ffn_rows_;
    RowsOf<typename Text::Depth> depth_rows_;
    std::vector<float> frequencies_;
    bool wanted_in_front_ = false;  ///< of x, by the last layer
};

// Defined apart from the class for `extern template`, as in session/sequence.hpp.

template <class M>
Workspace<M>::Workspace(const M& model, const WorkspaceOptions& options)
    : model_(&model),
      options_(detail::with_threads<typename P::Execution>(options)),
      team_(std::max(options_.threads, options_.decode_threads)) {
    if (options.context < 1 || options.context > Sequence<M>::max_context)
        throw ContextOverflow("context: expected 1 to " + std::to_string(Sequence<M>::max_context) + " tokens, found " +
                              std::to_string(options.context));
    options_.rows = std::max(1, options_.rows);
    if constexpr (requires { team_.recorder = options.recorder; })
        team_.recorder = options.recorder;
    else if (options.recorder)
        throw ConfigError(std::string("a recorder was given to the execution policy ") + P::Execution::name +
                          ", which tells none; use ops::Recorded");
    options_.logits_rows = std::max(1, options_.logits_rows);
    const auto visit = [&](auto&& f) { memory_.template visit<D, P>(options_, team_.threads(), f); };
    if (!options.tiers)
        memory::require_available(memory::footprint_of<typename P::Memory>(visit),
                                  "a workspace of " + std::to_string(options_.rows) + " rows over " +
                                      std::to_string(options_.context) + " tokens",
                                  "choose fewer rows or a shorter context");
    blocks_ = memory::allocate<typename P::Memory>(options.tiers, visit);
    std::apply([&](auto&... chunks) { (chunks.reserve(static_cast<std::size_t>(options_.rows)), ...); }, layer_chunks_);
    const auto most = static_cast<std::size_t>(options_.rows);
    fusion_rows_.reserve(most);
    ffn_rows_.reserve(most);
    depth_rows_.reserve(most);
    frequencies_ = position::frequencies<Position>(D::text, D::text.head_dim);
}

template <class M>
std::int64_t Workspace<M>::require_fit(std::span<const Chunk<M>> chunks) const {
    std::int64_t rows = 0;
    for (const auto& c : chunks) {
        if (&c.sequence->model() != model_)
            throw PromptError("forward: a sequence of another model than the workspace's");
        const std::int64_t most =
            std::min(c.sequence->pending(), detail::largest_chunk<D, P>(c.sequence->options().context));
        if (c.count < 1 || c.count > most || c.logits < 0 || c.logits > c.count)
            throw PromptError("forward: a chunk of " + std::to_string(c.count) + " tokens with logits of " +
                              std::to_string(c.logits) + "; the sequence has " + std::to_string(c.sequence->pending()) +
                              " pending tokens, of which its caches take " + std::to_string(most) + " at once");
        if (detail::looks_ahead<P> && c.sequence->tokens().after(c.sequence->length() + c.count) == TokenLog::inside)
            throw PromptError("forward: a chunk of " + std::to_string(c.count) +
                              " tokens ends inside a picture, whose tokens see each other by the mask; "
                              "Sequence::next_chunk() tells where a chunk may end");
        if (c.sequence->length() + c.count > options_.context)
            throw ContextOverflow("forward: a sequence of " + std::to_string(c.sequence->length() + c.count) +
                                  " tokens, the workspace's context is " + std::to_string(options_.context));
        rows += c.count;
    }
    if (rows > options_.rows)
        throw PromptError("forward: " + std::to_string(rows) + " rows, WorkspaceOptions::rows is " +
                          std::to_string(options_.rows));
    return rows;
}

template <class M>
void Workspace<M>::forward(std::span<const Chunk<M>> chunks, const ForwardOptions& options) {
    const std::int64_t rows = require_fit(chunks);
    if (rows == 0) return;
    [[maybe_unused]] const auto own = memory::hold_all(blocks_, true);
    const ResidencyGuard held(chunks);
    team(rows == static_cast<std::int64_t>(chunks.size()));
    try {
        note_rows(chunks);
        begin_rows(chunks, rows);
        run_layers(chunks, rows, options);
        run_head(chunks, rows, options);
    } catch (...) {
        for (const auto& c : chunks) c.sequence->fail();
        throw;
    }
}

/// Notes for the fusion, feed-forward and depth policies which rows belong to which sequence.
template <class M>
void Workspace<M>::note_rows(std::span<const Chunk<M>> chunks) {
    const auto note = [&]<class Policy>(type_tag<Policy>, RowsOf<Policy>& rows) {
        rows.clear();
        std::int64_t row = 0;
        for (const auto& c : chunks) {
            Sequence<M>& s = *c.sequence;
            rows.push_back({&s.tokens(), &s.states_->template of<Policy>(), row, s.length(), c.count});
            row += c.count;
        }
    };
    note(type_tag<Fusion>{}, fusion_rows_);
    note(type_tag<typename Text::Ffn>{}, ffn_rows_);
    note(type_tag<typename Text::Depth>{}, depth_rows_);
}

/// Fills the rows of x with embeddings, pictures and learned positions, and computes the rows' angles.
template <class M>
void Workspace<M>::begin_rows(std::span<const Chunk<M>> chunks, std::int64_t rows) {
    const Ops ops = this->ops();
    for_each_token(chunks, [&](Sequence<M>& s, std::int64_t token, std::int64_t row) {
        model_->embed(s.tokens().ids()[static_cast<std::size_t>(token)], memory_.x.row(row));
    });
    Fusion::template embed<typename detail::LayerSlots<P, 0>::Weights>(fusion_pass(ops, rows));
    for_each_token(chunks, [&](Sequence<M>& s, std::int64_t token, std::int64_t row) {
        const Matrix x = memory_.x.from(row).first(1);
        if constexpr (KeepsState<Position>)
            Position::add(ops, model_->parameters().position, s.states_->template of<Position>(), D::text, token, x);
        else if constexpr (BringsParameters<Position>)
            Position::add(ops, model_->parameters().position, D::text, token, x);
        position::text_angles<Arch, Position>(D::text, frequencies_, s.tokens().position(token),
                                              memory_.cosines.row(row), memory_.sines.row(row));
    });
}

template <class M>
void Workspace<M>::run_layers(std::span<const Chunk<M>> chunks, std::int64_t rows, const ForwardOptions& options) {
    wanted_in_front_ = false;
    int last = D::text.layers;
    while (--last >= 0 && !Text::Depth::runs(last, D::text.layers)) {
    }
    const bool all = options.hook || options.hidden || !fusion_ends(last);
    for (int i = 0; i <= last; ++i) {
        if (!Text::Depth::runs(i, D::text.layers)) continue;
        const auto layer = static_cast<std::size_t>(i);
        const bool wanted_alone = i == last && !all && rows > static_cast<std::int64_t>(chunks.size());
        detail::with_layer_slots<P>(layer, [&](auto index) {
            using Cache = typename detail::LayerSlots<P, index()>::KvCache;
            if constexpr (kv_cache::shares_layers<Cache>)
                if (kv_cache::owner_of<Cache>(i) != i)
                    return run_layer<index(), text::SharedKeys>(chunks, layer, rows, options.hook, wanted_alone);
            run_layer<index(), text::OwnKeys>(chunks, layer, rows, options.hook, wanted_alone);
        });
    }
}

/// Computes the final norm and the wanted logits, and commits the chunks to their sequences.
template <class M>
void Workspace<M>::run_head(std::span<const Chunk<M>> chunks, std::int64_t rows, const ForwardOptions& options) {
    constexpr std::int64_t hidden = D::text.hidden;
    const Matrix x = memory_.x.first(rows);
    if (options.hook || options.hidden) {
        std::vector<float> normed(static_cast<std::size_t>(rows * hidden));
        ops().template normalise<typename Text::Norm>(x, model_->parameters().text.norm, D::text.norm_eps,
                                                      Matrix(normed.data(), rows, hidden));
        if (options.hook) options.hook("text.norm", 0, {normed.data(), rows, hidden, hidden});
        if (options.hidden) std::copy(normed.begin(), normed.end(), options.hidden);
    }
    if (options.hook)
        for (std::int64_t row = 0; row < rows; ++row) {
            compute_logits({x.row(row), 1, hidden, hidden});
            options.hook("logits", 0, {memory_.logits.data, 1, D::text.vocab, D::text.vocab});
        }
    // wanted rows move together in x; a sequence's last one is the last of its block
    std::int64_t wanted = 0;
    for (const auto& c : chunks) wanted += c.logits;
    if (!wanted_in_front_) keep_wanted(ops(), chunks);
    auto chunk = chunks.begin();
    std::int64_t end = 0;  // of the wanted rows of chunks so far
    const auto commit_to = [&](std::int64_t first, std::int64_t last) {
        for (; chunk != chunks.end() && end + chunk->logits <= last; ++chunk) {
            end += chunk->logits;
            chunk->sequence->stage_logits(chunk->logits > 0 ? memory_.logits.row(end - 1 - first) : nullptr);
        }
    };
    for (std::int64_t first = 0; first < wanted; first += memory_.logits.rows) {
        const std::int64_t n = std::min(memory_.logits.rows, wanted - first);
        compute_logits({x.row(first), n, hidden, hidden});
        if (options.logits) options.logits(first, memory_.logits.first(n));
        commit_to(first, first + n);
    }
    for (const auto& c : chunks) c.sequence->commit(c.count);
}

/// Computes logits of rows of x, at most as many as fit, into the first rows of memory_.logits.
template <class M>
void Workspace<M>::compute_logits(ConstMatrix x) {
    const weights::PackedActivations normed{more_input_ ? more_input_.get() : memory_.input, x.rows, D::text.hidden};
    const Ops ops = this->ops();
    if (model_->head().data()) ops.template prefetch<HeadFormat>(std::array{&model_->head()});
    ops.template normalise<typename Text::Norm, HeadFormat>(x, model_->parameters().text.norm, D::text.norm_eps,
                                                            normed);
    model_->for_each_head_block([&](std::int64_t first, const weights::WeightMatrix& w) {
        ops.template store<HeadFormat>(normed, w, nullptr,
                                       Matrix(memory_.logits.data + first, x.rows, w.rows(), D::text.vocab));
    });
}

/// Stands in for the workspace of a model that was refused.
template <class M>
requires M::refused class Workspace<M> {
  public:
    explicit Workspace(const M&, const WorkspaceOptions& = {});
};

}  // namespace qwen3vl
