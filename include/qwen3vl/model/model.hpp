#pragma once
#include <memory>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/core/progress.hpp>
#include <qwen3vl/memory/plan.hpp>
#include <qwen3vl/model/check.hpp>
#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/model/session_plan.hpp>
#include <string>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// What a checkpoint folder holds beside weights (tokenizer, preprocessing, generation defaults); model/assets.hpp.
struct Assets;

/// How to load.
struct LoadOptions {
    ProgressCallback progress = {};  ///< stage "load", in tensors
    LogHook log = {};                ///< told of tensors that nothing uses
    int threads = 0;                 ///< for converting; 0: the execution policy's default
};

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
    using TextWeights = typename Text::Weights;
    using VisionWeights = typename Vision::Weights;
    using Parameters = ModelParameters<weights::MatrixOf<TextWeights>, std::vector<float>, weights::MatrixOf<VisionWeights>>;

    /// Takes the weights from `source`, whose take(name, shape) gives a TensorView or throws LoadError. `keep_alive` holds the memory behind
    /// the views. Throws UnsupportedCpu, LoadError, Cancelled.
    template <class Source>
    ModelImpl(Source& source, std::shared_ptr<const void> keep_alive, std::shared_ptr<const Assets> assets, const LoadOptions& options)
        : keep_alive_(std::move(keep_alive)), assets_(std::move(assets)) {
        arch::require_supported<Arch>();
        typename P::Execution::Team team(options.threads);
        std::int64_t total = 0, done = 0;
        for_each_parameter<D>([&](const std::string&, const Shape&) { ++total; });
        visit_parameters<D, Text::Norm::has_bias, Vision::Norm::has_bias>(parameters_, [&]<class T>(const std::string& name, const Shape& shape, T& parameter) {
            report(options.progress, "load", done++, total);
            const TensorView view = source.take(name, shape);
            if constexpr (std::is_same_v<T, std::vector<float>>) {
                parameter.resize(static_cast<std::size_t>(view.elements()));
                weights::for_each_value(view, 0, view.elements(), [&](std::int64_t i, float v) { parameter[static_cast<std::size_t>(i)] = v; });
            } else {
                parameter = load_matrix(parameter, view, name, shape[0], view.elements() / shape[0], team);
            }
        });
        report(options.progress, "load", total, total);
    }

    const Parameters& parameters() const { return parameters_; }
    /// Null where the model was not loaded from a folder.
    const std::shared_ptr<const Assets>& assets() const { return assets_; }

    /// The matrix that turns a hidden state into logits.
    const weights::MatrixOf<TextWeights>& head() const {
        if constexpr (D::text.tied)
            return parameters_.text.embedding;
        else
            return parameters_.text.head;
    }

    /// Bytes of the weights and of a session with these options, part by part, for a checkpoint whose tensors have this dtype. Allocates nothing.
    static MemoryPlan memory_plan(const SessionOptions& options = {}, DType checkpoint = DType::bf16) {
        MemoryPlan plan;
        add_weights(plan, checkpoint);
        for (auto& part : session_plan<D, P>(options).parts) plan.parts.push_back(std::move(part));
        return plan;
    }

    /// Whether every layer, head and parameter of the Dims takes part in the computation.
    static constexpr bool preserves_capacity = Text::Depth::preserves_capacity && Text::Ffn::preserves_capacity;

  private:
    template <class Team>
    static auto load_matrix(const weights::MatrixOf<TextWeights>&, const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols,
                            Team& team) {
        return weights::traits<TextWeights>::load(view, name, rows, cols, team);
    }
    template <class Team, class M>
    requires(!std::is_same_v<M, weights::MatrixOf<TextWeights>>) static auto load_matrix(const M&, const TensorView& view, const std::string& name,
                                                                                         std::int64_t rows, std::int64_t cols, Team& team) {
        return weights::traits<VisionWeights>::load(view, name, rows, cols, team);
    }

    static void add_weights(MemoryPlan& plan, DType checkpoint) {
        MemoryPlan::Part embedding{"weights: embedding and head", 0, weights::traits<TextWeights>::is_mapped(checkpoint)},
            decoder{"weights: decoder", 0, embedding.mapped};
        MemoryPlan::Part tower{"weights: vision tower", 0, weights::traits<VisionWeights>::is_mapped(checkpoint)}, vectors{"norms and biases", 0, false};
        for_each_parameter<D>([&](const std::string& name, const Shape& shape) {
            std::int64_t n = 1;
            for (auto s : shape) n *= s;
            if (shape.size() == 1)
                vectors.bytes += n * static_cast<std::int64_t>(sizeof(float));
            else if (name.starts_with("model.visual."))
                tower.bytes += weights::traits<VisionWeights>::bytes(shape[0], n / shape[0]);
            else
                (name.find("layers.") == std::string::npos ? embedding : decoder).bytes += weights::traits<TextWeights>::bytes(shape[0], n / shape[0]);
        });
        plan.parts.push_back(embedding);
        plan.parts.push_back(decoder);
        if (VisionLanguageDims<D>) plan.parts.push_back(tower);
        plan.parts.push_back(vectors);
    }

    Parameters parameters_;
    std::shared_ptr<const void> keep_alive_;
    std::shared_ptr<const Assets> assets_;
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
    static constexpr bool preserves_capacity = false;
};

template <class D, class P, bool Accepted = check<D, P>()>
struct SelectModel {
    using type = RefusedModel<D, P>;
};
template <class D, class P>
struct SelectModel<D, P, true> {
    using type = ModelImpl<D, P>;
};
template <class D, class P>
using ModelBase = typename SelectModel<D, P>::type;

}  // namespace detail

/// A model of Dims D with the policies of bundle P: the weights, immutable after loading, shared by any number of sessions and threads.
///
///     auto model = q::Model<q::models::Qwen3VL_2B>::load("Qwen3-VL-2B-Instruct");
template <class D, class P = Policies<>>
class Model : public detail::ModelBase<D, P> {
  public:
    using detail::ModelBase<D, P>::ModelBase;
    Model(Model&&) = default;
    Model& operator=(Model&&) = default;
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    /// Opens a Hugging Face checkpoint folder: config.json is checked against D field by field, weights are mapped. Defined in model/load.hpp.
    /// Throws FileError, ConfigError, LoadError, TokenizerError, UnsupportedCpu, Cancelled.
    static Model load(const std::string& folder, const LoadOptions& options = {});
};

}  // namespace qwen3vl
