#pragma once
#include <memory>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/memory/plan.hpp>
#include <qwen3vl/model/session_plan.hpp>
#include <qwen3vl/model/weight_plan.hpp>
#include <qwen3vl/model/weight_store.hpp>
#include <qwen3vl/policies/check.hpp>
#include <string>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Assets of a checkpoint beside its weights (tokenizer, preprocessing, generation defaults); model/assets.hpp.
struct Assets;

namespace detail {

template <Dims D, class P>
class ModelImpl {
  public:
    using dims = D;
    using policies = P;
    static constexpr bool refused = false;
    using Text = typename P::Text;
    using Vision = typename P::Vision;
    using Arch = typename P::Arch;
    using Parameters = ModelParameters<P>;

    /// Takes the weights from `source`. `keep_alive` holds the memory behind its views. Throws UnsupportedCpu,
    /// LoadError, Cancelled.
    template <concepts::WeightSource Source>
    ModelImpl(Source& source, std::shared_ptr<const void> keep_alive, std::shared_ptr<const Assets> assets,
              const LoadOptions& options)
        : keep_alive_(std::move(keep_alive)),
          assets_(std::move(assets)),
          parameters_(std::make_unique<Parameters>()),
          manifest_(manifest_of<D>(*parameters_)) {
        arch::require_supported<Arch>();
        Team team(options.threads);
        store_.load(manifest_, AnyWeightSource(source), stream_extents<D, P>(), Arch::name, team, options);
        prepare_parameters<D>(*parameters_);
    }

    const Parameters& parameters() const { return *parameters_; }
    /// The manifest of every model of this type: all parameters, without their values.
    static Manifest<typename P::Execution::Team> manifest() { return qwen3vl::manifest<D, P>(); }
    /// The manifest whose entries point to this model's parameters.
    const Manifest<typename P::Execution::Team>& loaded() const { return manifest_; }
    /// True if some weights are streamed. Their matrices in parameters() have a content only while they are held.
    static constexpr bool pages = window_layers<D, P> > 0;
    /// Guard that keeps the weights of layer `i`, of the member I of the period, resident while it lives. Hold at most
    /// one per thread: a second may wait for the slot that the first occupies. A no-op where weights never leave
    /// memory; throws FileError where they cannot be read.
    template <std::size_t I>
    auto hold_layer([[maybe_unused]] int i) const {
        if constexpr (weights::is_streamed<typename LayerSlots<P, I>::StoredWeights>)
            return store_.window()->hold(manifest_.layer_stage(i));
        else
            return std::pair{store_.hold({memory::Pool::attention, memory::Content::kept, i}),
                             store_.hold({memory::Pool::mlp, memory::Content::kept, i})};
    }
    /// Callable f(stage) that gives such a guard for a stage of the tower; vision::NoGuard where its weights never
    /// leave memory.
    auto stage_guards() const {
        if constexpr (weights::is_streamed<typename Vision::Weights>)
            return StreamGuards{store_.window()};
        else if constexpr (memory::TellsRoles<WeightMemory>)
            return TierGuards{&store_};
        else
            return vision::NoGuard{};
    }
    /// Calls f(first row, matrix) for the blocks of rows of head(), which together are all of it. Each is resident
    /// during its call. Throws FileError.
    template <class F>
    void for_each_head_block(F&& f) const {
        store_.for_each_head_block(manifest_.matrix(manifest_.head), f);
    }
    /// Writes a token's row of the embedding, [hidden], to `out`. Throws FileError.
    void embed(int token, float* out) const { store_.read_row(manifest_.matrix(manifest_.embedding), token, out); }
    /// Writes a token's row of head(), [hidden], to `out`. Throws FileError.
    void head_row(int token, float* out) const { store_.read_row(manifest_.matrix(manifest_.head), token, out); }
    /// Bytes that were read into the window of streamed weights so far, and seconds that sessions waited for them.
    StreamWindow::Counts stream_counts() const {
        return store_.window() ? store_.window()->counts() : StreamWindow::Counts{};
    }

    /// Null where the model was not loaded from a folder.
    const std::shared_ptr<const Assets>& assets() const { return assets_; }

    /// The matrix that turns a hidden state into logits; for_each_head_block() has its rows, streamed or not.
    const weights::WeightMatrix& head() const { return *manifest_.matrix(manifest_.head).matrix; }

    /// Tells this model's weights from another's. Hashes its vectors, and a row of every matrix as its format keeps it.
    std::uint64_t fingerprint() const {
        std::uint64_t h = checksum(D::name);
        std::vector<float> row;
        for (const auto& p : manifest_.parameters) {
            if (p.matrix) {
                row.resize(static_cast<std::size_t>(p.cols()));
                store_.read_row(p, 0, row.data());
            }
            const std::vector<float>& values = p.matrix ? row : *p.vector;
            h = checksum(reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(float), h);
        }
        return h;
    }

    /// Bytes of the weights and of a session with these options, part by part, for a checkpoint whose tensors have this
    /// dtype. Allocates nothing.
    static MemoryPlan memory_plan(const SessionOptions& options = {}, DType checkpoint = DType::bf16) {
        MemoryPlan plan = weight_plan(manifest(), stream_extents<D, P>(), checkpoint);
        if (const auto bytes = prepared_bytes<D, P>(); bytes > 0)
            plan.parts.push_back({"weights: prepared", bytes, false});
        MemoryPlan session = session_plan<D, P>(options);
        for (auto& part : session.parts) plan.parts.push_back(std::move(part));
        plan.disk = session.disk;
        return plan;
    }

    /// True if every layer, head and parameter of the Dims takes part in the computation.
    static constexpr bool preserves_capacity = Text::Depth::preserves_capacity && Text::Ffn::preserves_capacity;

  private:
    using Team = typename P::Execution::Team;
    /// Memory of packed weights: the policy's own where it is told of roles, else an Arena. Its blocks live as long as
    /// the model.
    using WeightMemory = std::conditional_t<memory::TellsRoles<typename P::Memory>, typename P::Memory, memory::Arena>;
    using Store = WeightStore<Team, WeightMemory>;
    struct TierGuards {
        const Store* store;
        auto operator()(int stage) const { return store->hold({memory::Pool::vision, memory::Content::kept, stage}); }
    };

    std::shared_ptr<const void> keep_alive_;
    std::shared_ptr<const Assets> assets_;
    std::unique_ptr<Parameters> parameters_;
    Manifest<Team> manifest_;
    Store store_;
};

/// Stands in for a model that was refused: the same members, so that the refusal is the only error.
template <class D, class P>
class RefusedModel {
  public:
    using dims = D;
    using policies = P;
    static constexpr bool refused = true;
    template <class... A>
    explicit RefusedModel(A&&...) {}
    static MemoryPlan memory_plan(const SessionOptions& = {}, DType = DType::bf16) { return {}; }
    const std::shared_ptr<const Assets>& assets() const;
    std::uint64_t fingerprint() const;
    static constexpr bool preserves_capacity = false;
    static RefusedModel load(const std::string&, const LoadOptions& = {});
};

}  // namespace detail

/// A model of Dims D whose policies are `P`, all slots spelled out. Name it through Model.
template <class D, class P>
class BasicModel : public detail::ModelImpl<D, P> {
  public:
    using detail::ModelImpl<D, P>::ModelImpl;
    BasicModel(BasicModel&&) = default;
    BasicModel& operator=(BasicModel&&) = default;
    BasicModel(const BasicModel&) = delete;
    BasicModel& operator=(const BasicModel&) = delete;

    /// Opens a Hugging Face checkpoint folder, or a GGUF file: its config is checked against D field by field, weights
    /// are mapped. Defined in model/load.hpp. Throws FileError, ConfigError, LoadError, TokenizerError, UnsupportedCpu,
    /// Cancelled.
    static BasicModel load(const std::string& path, const LoadOptions& options = {});
};

namespace detail {
template <class D, class P, bool Accepted = check<D, P>()>
struct SelectModel {
    using type = RefusedModel<D, P>;
};
template <class D, class P>
struct SelectModel<D, P, true> {
    using type = BasicModel<D, SlotsOf<P>>;
};
}  // namespace detail

/// A model of Dims D with the policies of bundle P: the weights, immutable after loading, shared by any number of
/// sessions and threads. Bundles that choose the same policies give the same type.
///
///     auto model = q::Model<q::models::Qwen3VL_2B>::load("Qwen3-VL-2B-Instruct");
template <class D, class P = Policies<>>
using Model = typename detail::SelectModel<D, P>::type;

}  // namespace qwen3vl
