#pragma once
#include <memory>
#include <optional>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/core/progress.hpp>
#include <qwen3vl/memory/plan.hpp>
#include <qwen3vl/model/check.hpp>
#include <qwen3vl/model/packed_file.hpp>
#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/model/policy_tables.hpp>
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
    std::string packed = {};  ///< a folder for the packed form of the weights (model/packed_file.hpp): read there, and written where it is missing or stale
    std::string calibration = {};  ///< a file made by examples/calibrate, by which integer formats round weights; empty: to nearest
    std::string tables = {};       ///< a safetensors file with the tables of policies that need some (core/tables.hpp)
    std::string mmproj = {};       ///< of a GGUF model: the file with its vision part; empty: the one file mmproj*.gguf beside it
};

namespace detail {

/// One callable of several.
template <class... F>
struct Overloaded : F... {
    using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

template <Dims D, class P>
class ModelImpl {
  public:
    using dims = D;
    using policies = P;
    static constexpr bool refused = false;
    using Text = typename P::Text;
    using Vision = typename P::Vision;
    using Arch = typename P::Arch;
    using Parameters = ModelParameters<weights::WeightMatrix, std::vector<float>>;

    /// Takes the weights from `source`, whose take(name, shape) gives a TensorView or throws LoadError. `keep_alive` holds the memory behind
    /// the views. Throws UnsupportedCpu, LoadError, Cancelled.
    template <class Source>
    ModelImpl(Source& source, std::shared_ptr<const void> keep_alive, std::shared_ptr<const Assets> assets, const LoadOptions& options)
        : keep_alive_(std::move(keep_alive)), assets_(std::move(assets)) {
        arch::require_supported<Arch>();
        typename P::Execution::Team team(options.threads);
        std::int64_t total = 0, done = 0;
        for_each_parameter<D>([&](const std::string&, const Shape&) { ++total; });
        const auto next = [&](const std::string& name, const Shape& shape) {
            report(options.progress, "load", done++, total);
            return source.take(name, shape);
        };
        bool filling = false;  // the packed file is new
        if constexpr (requires { source.fingerprint(); })
            if (!options.packed.empty()) filling = open_packed(source.fingerprint(), options, team);
        // one block for all: huge pages fit it, which virtual machines read up to twice as fast
        if (!packed_) memory_ = memory::Arena(packed_bytes());
        std::size_t index = 0;
        visit_parameters<D, Text::Norm::has_bias, Vision::Norm::has_bias>(
            parameters_, Overloaded{[&](const std::string& name, const Shape& shape, std::vector<float>& vector) {
                                        const TensorView view = next(name, shape);
                                        vector.resize(static_cast<std::size_t>(view.elements()));
                                        weights::read_values(view, 0, view.elements(), vector.data());
                                    },
                                    [&](const std::string& name, const Shape& shape, weights::WeightMatrix& matrix, const Part& part) {
                                        const TensorView view = next(name, shape);
                                        const std::int64_t rows = shape[0], cols = view.elements() / rows;
                                        std::optional<weights::ColumnMoments> known;
                                        if constexpr (requires { source.moments(name, cols); }) known = source.moments(name, cols);
                                        const auto* moments = known ? &*known : nullptr;
                                        with_format(part, [&]<class Format>(type_tag<Format>) {
                                            using Traits = weights::traits<Format>;
                                            if constexpr (Traits::row_major) {
                                                matrix = weights::load<Arch, Format>(view, name, rows, cols, team, moments);
                                            } else {
                                                std::byte* room = nullptr;
                                                if (!packed_) room = memory_.take(Traits::template bytes<Arch>(rows, cols));
                                                if (filling) room = packed_->at(index);
                                                if (room) weights::pack<Arch, Format>(view, name, rows, cols, team, room, moments);
                                                matrix = weights::WeightMatrix(room ? room : std::as_const(*packed_).at(index), rows, cols);
                                            }
                                            if constexpr (requires { source.release(view); })
                                                if (matrix.data() != view.data) source.release(view);
                                        });
                                        ++index;
                                    }});
        if (filling) finish_packed(options, team);
        tables_.template visit<D, P>([&](const std::string& name, const Shape& shape, std::vector<float>& table) {
            const auto take = [&] {
                if constexpr (requires { source.take_table(name, shape); })
                    return source.take_table(name, shape);
                else
                    return source.take(name, shape);
            };
            const TensorView view = take();
            table.resize(static_cast<std::size_t>(view.elements()));
            weights::read_values(view, 0, view.elements(), table.data());
        });
        report(options.progress, "load", total, total);
    }

    const Parameters& parameters() const { return parameters_; }
    const PolicyTables& tables() const { return tables_; }
    /// Null where the model was not loaded from a folder.
    const std::shared_ptr<const Assets>& assets() const { return assets_; }

    /// The matrix that turns a hidden state into logits.
    const weights::WeightMatrix& head() const {
        if constexpr (D::text.tied)
            return parameters_.text.embedding;
        else
            return parameters_.text.head;
    }

    /// Tells this model's weights from another's: of its norms and biases, and of a row of every matrix as its format keeps it.
    std::uint64_t fingerprint() const {
        std::uint64_t h = checksum(D::name);
        std::vector<float> row;
        const auto add = [&](const std::vector<float>& values) {
            h = checksum(reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(float), h);
        };
        visit_parameters<D, Text::Norm::has_bias, Vision::Norm::has_bias>(
            parameters_, Overloaded{[&](const std::string&, const Shape&, const std::vector<float>& vector) { add(vector); },
                                    [&](const std::string&, const Shape&, const weights::WeightMatrix& w, const Part& part) {
                                        row.resize(static_cast<std::size_t>(w.cols()));
                                        with_format(part,
                                                    [&]<class Format>(type_tag<Format>) { weights::traits<Format>::template row<Arch>(w, 0, row.data()); });
                                        add(row);
                                    }});
        for (const auto& table : tables_.position) add(table);
        for (const auto* by_layer : {&tables_.masks, &tables_.caches})
            for (const auto& layer : *by_layer)
                for (const auto& table : layer) add(table);
        return h;
    }

    /// Bytes of the weights and of a session with these options, part by part, for a checkpoint whose tensors have this dtype. Allocates nothing.
    static MemoryPlan memory_plan(const SessionOptions& options = {}, DType checkpoint = DType::bf16) {
        MemoryPlan plan;
        add_weights(plan, checkpoint);
        std::int64_t floats = 0;
        PolicyTables{}.template visit<D, P>([&](const std::string&, const Shape& shape, std::vector<float>&) {
            floats += TensorView{DType::f32, shape, nullptr, {}}.elements();
        });
        if (floats > 0) plan.parts.push_back({"policies' tables", floats * static_cast<std::int64_t>(sizeof(float)), false});
        MemoryPlan session = session_plan<D, P>(options);
        for (auto& part : session.parts) plan.parts.push_back(std::move(part));
        plan.disk = session.disk;
        return plan;
    }

    /// Whether every layer, head and parameter of the Dims takes part in the computation.
    static constexpr bool preserves_capacity = Text::Depth::preserves_capacity && Text::Ffn::preserves_capacity;

    /// f(type_tag<Format>{}) with the weight format of a part.
    template <class F>
    static void with_format(const Part& part, F&& f) {
        if (part.kind == Part::vision)
            f(type_tag<typename Vision::Weights>{});
        else if (part.kind == Part::embedding)
            f(type_tag<typename Text::EmbeddingWeights>{});
        else
            with_layer_slots<P>(static_cast<std::size_t>(part.index), [&](auto index) { f(type_tag<typename LayerSlots<P, index()>::Weights>{}); });
    }

  private:
    /// Opens the packed file for these weights, or begins a new one; true where it must be filled.
    template <class Team>
    bool open_packed(std::uint64_t fingerprint, const LoadOptions& options, Team& team) {
        std::vector<std::int64_t> sizes;
        std::uint64_t layout = checksum(std::string(Arch::name) + ' ' + std::to_string(weights::layout_version));
        for_each_packed([&](const std::string& name, const char* format, std::int64_t bytes) {
            sizes.push_back(bytes);
            layout = checksum(name + ' ' + format, layout);
        });
        const std::string path = PackedFile::path(options.packed, layout);
        const std::uint64_t key = layout ^ fingerprint;
        std::string why;
        packed_ = PackedFile::open(path, key, sizes, team, why);
        if (!why.empty() && options.log) options.log(why + "; it is made anew");
        if (packed_) return false;
        try {
            packed_ = PackedFile::create(path, key, sizes);
        } catch (const FileError& e) {
            if (options.log) options.log(std::string(e.what()) + "; the packed weights are not kept");
        }
        return packed_.has_value();
    }
    template <class Team>
    void finish_packed(const LoadOptions& options, Team& team) {
        try {
            packed_->finish(team);
        } catch (const FileError& e) {
            if (options.log) options.log(std::string(e.what()) + "; the packed weights are not kept");
        }
    }

    /// f(name, format, bytes in the layout of its kernels) for every matrix; 0 bytes: the format is row-major and has none of its own.
    template <class F>
    static void for_each_packed(F&& f) {
        for_each_matrix<D>([&](const std::string& name, std::int64_t rows, std::int64_t cols, const Part& part) {
            with_format(part, [&]<class Format>(type_tag<Format>) {
                using Traits = weights::traits<Format>;
                f(name, Format::name, Traits::row_major ? 0 : Traits::template bytes<Arch>(rows, cols));
            });
        });
    }
    static std::int64_t packed_bytes() {
        std::int64_t sum = 0;
        for_each_packed([&](const std::string&, const char*, std::int64_t bytes) { sum += memory::Arena::footprint(bytes); });
        return sum;
    }

    static void add_weights(MemoryPlan& plan, DType checkpoint) {
        MemoryPlan::Part embedding{"weights: embedding and head", 0, true}, decoder{"weights: decoder", 0, true}, tower{"weights: vision tower", 0, true},
            vectors{"norms and biases", 0, false};
        std::int64_t all = 0, matrices = 0;
        for_each_parameter<D>([&](const std::string&, const Shape& shape) {
            std::int64_t n = 1;
            for (auto s : shape) n *= s;
            all += n;
        });
        for_each_matrix<D>([&](const std::string&, std::int64_t rows, std::int64_t cols, const Part& part) {
            auto& sum = part.kind == Part::vision ? tower : part.kind == Part::embedding ? embedding : decoder;
            matrices += rows * cols;
            with_format(part, [&]<class Format>(type_tag<Format>) {
                sum.bytes += weights::traits<Format>::template bytes<Arch>(rows, cols);
                sum.mapped = sum.mapped && weights::traits<Format>::is_mapped(checkpoint);
            });
        });
        vectors.bytes = (all - matrices) * static_cast<std::int64_t>(sizeof(float));
        plan.parts.push_back(embedding);
        plan.parts.push_back(decoder);
        if (VisionLanguageDims<D>) plan.parts.push_back(tower);
        plan.parts.push_back(vectors);
    }

    std::optional<PackedFile> packed_;
    memory::Arena memory_;
    Parameters parameters_;
    PolicyTables tables_;
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
    std::uint64_t fingerprint() const;
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

    /// Opens a Hugging Face checkpoint folder, or a GGUF file: its config is checked against D field by field, weights are mapped. Defined in model/load.hpp.
    /// Throws FileError, ConfigError, LoadError, TokenizerError, UnsupportedCpu, Cancelled.
    static Model load(const std::string& path, const LoadOptions& options = {});
};

}  // namespace qwen3vl
