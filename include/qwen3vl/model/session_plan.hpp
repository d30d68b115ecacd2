#pragma once
#include <qwen3vl/core/token_log.hpp>
#include <qwen3vl/kv_cache/page_table.hpp>
#include <qwen3vl/kv_cache/tile_store.hpp>
#include <qwen3vl/memory/placement.hpp>
#include <qwen3vl/memory/plan.hpp>
#include <qwen3vl/model/session_options.hpp>
#include <qwen3vl/policies/layer_slots.hpp>
#include <qwen3vl/policies/policy_states.hpp>
#include <qwen3vl/token_reduction/tokens.hpp>

/// The memory of sequences and workspaces. Each block is described once, by a visit; allocation, total and plan are
/// visits of it.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// Memory of a sequence.
template <Dims D, class P>
struct SequenceMemory {
    struct Layer {
        std::byte *cache = nullptr, *mask = nullptr;
    };
    std::byte *frames = nullptr, *block_table = nullptr, *log = nullptr;
    std::byte* logits = nullptr;  ///< [2, vocab] floats: after the last token, and after the next
    std::vector<Layer> layers;
    typename PolicyStates<D, P>::Memory states;

    /// Calls f(part, place, bytes, role) for each block.
    template <class F>
    void visit(const SequenceOptions& o, F&& f) {
        constexpr TextDims d = D::text;
        constexpr memory::Role table{}, kept{memory::Pool::attention, memory::Content::kept},
            tokens{memory::Pool::embedding};
        f("tokens", log, TokenLog::bytes(o.context), tokens);
        f("logits", logits, std::int64_t{2} * d.vocab * static_cast<std::int64_t>(sizeof(float)),
          memory::Role{memory::Pool::embedding});
        if (const auto frame = frame_bytes<D, P>(o.context); frame > 0)
            f("kv_cache: frames", frames, kv_cache::TileStore::memory_bytes(frame), table);
        if constexpr (in_pages<P>)
            f("kv_cache: block table", block_table, kv_cache::PageTable::bytes(o.context), table);
        states.visit(o.context, f);
        layers.resize(static_cast<std::size_t>(d.layers));
        for (std::size_t i = 0; i < layers.size(); ++i)
            with_layer_slots<P>(i, [&](auto index) {
                using S = LayerSlots<P, index()>;
                const int layer = static_cast<int>(i), owner = kv_cache::owner_of<typename S::KvCache>(layer);
                if (in_pages<P>) {
                } else if (owner == layer) {
                    f("kv_cache", layers[i].cache, S::KvCache::bytes(S::extent(d, o.context)), kept);
                } else {
                    layers[i].cache = layers[static_cast<std::size_t>(owner)].cache;
                }
                if (const auto bytes = S::MaskState::bytes(d.kv_heads, S::mask_channels(d), o.context); bytes > 0)
                    f("mask", layers[i].mask, bytes, kept);
            });
    }
};

/// Memory of a workspace, in the space of its operations.
template <class Space>
struct WorkspaceMemory : Activations<Space> {
    using Rows = Activations<Space>;
    using Rows::x, Rows::input, Rows::inner, Rows::qkv, Rows::queries, Rows::attended, Rows::cosines, Rows::sines,
        Rows::scratch, Rows::rows;
    using typename Rows::Bytes, typename Rows::Floats, typename Rows::Matrix;
    Matrix logits;    ///< [logits_rows, vocab]
    Matrix before;    ///< [rows, hidden] before a layer, where the depth policy compares
    Floats fusion{};  ///< the fusion policy's scratch_floats()

    /// Calls f(part, place, bytes, role) for each block, for a team of `threads` threads.
    template <Dims D, class P, class F>
    void visit(const WorkspaceOptions& o, int threads, F&& f) {
        constexpr TextDims d = D::text;
        constexpr memory::Role scratch_role{memory::Pool::attention, memory::Content::scratch},
            activations{memory::Pool::mlp, memory::Content::scratch}, head{memory::Pool::embedding};
        const std::int64_t n = o.rows, channels = kv_cache::padded_channels(d.head_dim);
        const auto floats = [&](const char* part, Floats& place, std::int64_t count, const memory::Role& role) {
            Bytes bytes{};
            f(part, bytes, count * static_cast<std::int64_t>(sizeof(float)), role);
            place = Space::template cast<float>(bytes);
        };
        const auto matrix = [&](Matrix& m, std::int64_t columns) {
            floats("activations", m.data, n * columns, activations);
            m = Matrix(m.data, n, columns);
        };
        const auto packed = [&](std::int64_t columns) {  // rows of so many columns in the layers' weight formats
            return largest_over_layers<P>([&](auto s) {
                return weights::traits<typename decltype(s)::Weights>::template activation_bytes<typename P::Arch>(
                    n, columns);
            });
        };
        using Head = weights::traits<typename P::Text::EmbeddingWeights>;
        matrix(x, d.hidden);
        if constexpr (concepts::ComparesRows<typename P::Text::Depth>) matrix(before, d.hidden);
        f("activations", input,
          std::max({packed(d.hidden), packed(d.q_dim()),
                    Head::template activation_bytes<typename P::Arch>(o.logits_rows, d.hidden)}),
          activations);
        f("activations", inner, packed(d.ffn), activations);
        matrix(qkv, d.q_dim() + 2 * d.kv_dim());
        floats("activations", queries, n * d.heads * channels, activations);
        matrix(attended, d.q_dim());
        matrix(cosines, d.head_dim / 2);
        matrix(sines, d.head_dim / 2);
        floats("attention scratch", scratch, largest_over_layers<P>([&](auto s) {
                   using S = decltype(s);
                   return attention::layer_scratch_floats<typename S::Attention, typename S::KvCache>(
                       threads, d.kv_heads, d.group(), channels, n, o.context);
               }),
               scratch_role);
        if constexpr (requires { P::Fusion::scratch_floats(model_dims<D>(), threads, n, n); })
            floats("activations", fusion, P::Fusion::scratch_floats(model_dims<D>(), threads, n, o.context),
                   activations);
        floats("activations", rows, threads * text::row_floats(d), activations);
        floats("logits", logits.data, std::int64_t{o.logits_rows} * d.vocab, head);
        logits = Matrix(logits.data, o.logits_rows, d.vocab);
    }
};

/// Options of the workspace that a session makes for itself.
template <Dims D, class P>
WorkspaceOptions workspace_options(const SessionOptions& o) {
    WorkspaceOptions w = o.workspace();
    w.rows = static_cast<int>(std::min<std::int64_t>(w.rows, largest_chunk<D, P>(o.context)));
    return w;
}

/// Calls f(part, bytes, role) for each block of memory of a session: its sequence's and its workspace's. Pages are not
/// among them: their pool, PagePool, has a plan of its own.
template <Dims D, class P, class F>
void for_each_session_block(const SessionOptions& o, int threads, F&& f) {
    const auto tell = [&](const char* part, auto&, std::int64_t bytes, const memory::Role& role) {
        f(part, bytes, role);
    };
    SequenceMemory<D, P>{}.visit(o.sequence(), tell);
    WorkspaceMemory<space_of<typename P::Memory>>{}.template visit<D, P>(workspace_options<D, P>(o), threads, tell);
}

/// Bytes of a session part by part, and of encoding the largest picture prefetched.
template <Dims D, class P>
MemoryPlan session_plan(const SessionOptions& o) {
    MemoryPlan plan;
    plan.disk = file_bytes<D, P>(o.context);
    const int threads = team_size<typename P::Execution>(o);
    const auto add = [&](const char* part, std::int64_t bytes) {
        const auto known =
            std::find_if(plan.parts.begin(), plan.parts.end(), [&](const auto& p) { return p.name == part; });
        auto& sum = known != plan.parts.end() ? *known : plan.parts.emplace_back(MemoryPlan::Part{part, 0, false});
        sum.bytes += P::Memory::footprint(bytes);
    };
    for_each_session_block<D, P>(o, threads,
                                 [&](const char* part, std::int64_t bytes, const memory::Role&) { add(part, bytes); });
    if constexpr (VisionLanguageDims<D>) {
        const Grid g = o.largest_picture;
        if (g.patches() > 0) {
            vision::Buffers<space_of<typename P::Memory>> buffers(D::vision, g);
            buffers.template visit<typename P::Arch, TowerSlots<P>>(
                threads, [&](const char* part, auto&, std::int64_t bytes, const memory::Role&) { add(part, bytes); });
            const std::int64_t levels = 1 + D::vision.deepstack_count;
            add(buffers.part, static_cast<std::int64_t>(sizeof(float)) *
                                  (g.patches() * D::vision.patch_values() +
                                   token_reduction::tokens_of<typename P::Text::TokenReduction>(g, D::vision.merge) *
                                       g.t * D::vision.out * levels));
        }
    }
    return plan;
}

}  // namespace qwen3vl::detail
