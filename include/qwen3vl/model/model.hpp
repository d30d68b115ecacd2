#pragma once
#include <memory>
#include <optional>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/core/progress.hpp>
#include <qwen3vl/memory/plan.hpp>
#include <qwen3vl/model/check.hpp>
#include <qwen3vl/model/packed_file.hpp>
#include <qwen3vl/model/paging_plan.hpp>
#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/model/policy_tables.hpp>
#include <qwen3vl/model/session_plan.hpp>
#include <qwen3vl/model/weight_window.hpp>
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
    /// A folder for the packed form of the weights (model/packed_file.hpp): read there, and written where it is missing or stale. Paged weights need it.
    std::string packed = {};
    std::string calibration = {};  ///< a file made by examples/calibrate, by which integer formats round weights; empty: to nearest
    std::string tables = {};       ///< a safetensors file with the tables of policies that need some (core/tables.hpp)
    std::string mmproj = {};       ///< of a GGUF model: the file with its vision part; empty: the one file mmproj*.gguf beside it
    /// Where weights may be that nobody uses, for memory::Tiered; outlives the model. What is mapped from a file is left to the system.
    memory::Tiers* tiers = nullptr;
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
    /// What weights lie in that are packed in memory: blocks that are never freed.
    using WeightMemory = std::conditional_t<memory::TellsRoles<typename P::Memory>, typename P::Memory, memory::Arena>;

    /// Takes the weights from `source`, whose take(name, shape) gives a TensorView or throws LoadError. `keep_alive` holds the memory behind
    /// the views. Throws UnsupportedCpu, LoadError, Cancelled.
    template <class Source>
    ModelImpl(Source& source, std::shared_ptr<const void> keep_alive, std::shared_ptr<const Assets> assets, const LoadOptions& options)
        : keep_alive_(std::move(keep_alive)), assets_(std::move(assets)) {
        arch::require_supported<Arch>();
        if (pages && (options.packed.empty() || !requires { source.fingerprint(); }))
            throw ConfigError("LoadOptions::packed: weights::Paged reads a packed file while the model runs; name a folder for it");
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
        if constexpr (pages) open_window();
        std::vector<std::byte*> rooms;  // of the matrices
        if (!packed_) rooms = take_rooms(options.tiers);
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
                                        with_stored_format<P>(part, [&]<class Format>(type_tag<Format>) {
                                            using Traits = weights::traits<Format>;
                                            if constexpr (weights::is_paged<Format>) {
                                                if (filling) fill_paged<Format>(source, view, name, index, team, moments);
                                                matrix = weights::WeightMatrix(paged_address(index, part), rows, cols);
                                            } else if constexpr (Traits::row_major) {
                                                matrix = weights::load<Arch, Format>(view, name, rows, cols, team, moments);
                                            } else {
                                                [[maybe_unused]] const auto held = hold_part(part, true);
                                                std::byte* room = packed_ ? nullptr : rooms[index];
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
        if constexpr (pages) window_->start(packed_->take_file());
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
    /// Whether some weights are paged. Their matrices in parameters() have a content only while they are held.
    static constexpr bool pages = window_layers<D, P> > 0;
    /// What keeps the weights of layer `i`, of the member I of the period, in memory for as long as it lives. Whoever has one takes no other. Nothing where
    /// they always are; throws FileError where they cannot be read.
    template <std::size_t I>
    auto hold_layer([[maybe_unused]] int i) const {
        if constexpr (weights::is_paged<typename LayerSlots<P, I>::StoredWeights>)
            return window_->hold(plan_.layer(i));
        else
            return std::pair{hold_part({Part::layer, i, false}), hold_part({Part::layer, i, true})};
    }
    /// What does the same for the tower: see vision::AlwaysHeld.
    auto stage_holder() const {
        if constexpr (weights::is_paged<typename Vision::Weights>)
            return StageHolder{window_.get()};
        else if constexpr (memory::TellsRoles<WeightMemory>)
            return TierHolder{this};
        else
            return vision::AlwaysHeld{};
    }
    /// f(first row, matrix) for the blocks of rows of head(), which together are all of it; each is in memory during its call. Throws FileError.
    template <class F>
    void for_each_head_block(F&& f) const {
        if constexpr (weights::is_paged<typename Text::EmbeddingWeights>) {
            const std::int64_t step = rows_at_once<D>(D::text.hidden);
            for (std::int64_t row = 0; row < D::text.vocab; row += step) {
                const int part = plan_.head_block(row / step);
                const auto held = window_->hold(part);
                f(row, weights::WeightMatrix(window_->at(part), std::min<std::int64_t>(step, D::text.vocab - row), D::text.hidden));
            }
        } else {
            [[maybe_unused]] const auto held = hold_part({Part::embedding});
            f(std::int64_t{0}, head());
        }
    }
    /// A token's row of the embedding [hidden] to `out`. Throws FileError.
    void embed(int token, float* out) const {
        [[maybe_unused]] const auto held = hold_part({Part::embedding});
        read_row<typename Text::EmbeddingWeights>(parameters_.text.embedding, plan_.embedding, token, out);
    }
    /// Bytes that were read into the window of paged weights so far, and seconds that sessions waited for them.
    WeightWindow::Counts paging_counts() const { return window_ ? window_->counts() : WeightWindow::Counts{}; }

    /// Null where the model was not loaded from a folder.
    const std::shared_ptr<const Assets>& assets() const { return assets_; }

    /// The matrix that turns a hidden state into logits; for_each_head_block() has its rows, paged or not.
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
        std::size_t index = 0;
        const auto add = [&](const std::vector<float>& values) {
            h = checksum(reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(float), h);
        };
        visit_parameters<D, Text::Norm::has_bias, Vision::Norm::has_bias>(
            parameters_, Overloaded{[&](const std::string&, const Shape&, const std::vector<float>& vector) { add(vector); },
                                    [&](const std::string&, const Shape&, const weights::WeightMatrix& w, const Part& part) {
                                        row.resize(static_cast<std::size_t>(w.cols()));
                                        [[maybe_unused]] const auto held = hold_part(part);
                                        with_stored_format<P>(part, [&]<class Format>(type_tag<Format>) { read_row<Format>(w, index, 0, row.data()); });
                                        add(row);
                                        ++index;
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

    /// f(type_tag<Format>{}) with the weight format of a part; of a paged one, what it pages.
    template <class F>
    static void with_format(const Part& part, F&& f) {
        with_stored_format<P>(part, [&]<class Stored>(type_tag<Stored>) { f(type_tag<typename weights::paging<Stored>::format>{}); });
    }

  private:
    /// Opens the packed file for these weights, or begins a new one; true where it must be filled.
    template <class Team>
    bool open_packed(std::uint64_t fingerprint, const LoadOptions& options, Team& team) {
        std::vector<std::int64_t> sizes;
        std::uint64_t layout = checksum(std::string(Arch::name) + ' ' + std::to_string(weights::layout_version));
        for_each_packed([&](const std::string& name, const char* format, std::int64_t bytes, const Part&) {
            sizes.push_back(bytes);
            layout = checksum(name + ' ' + format, layout);
        });
        const std::string path = PackedFile::path(options.packed, layout);
        const std::uint64_t key = layout ^ fingerprint;
        std::string why;
        constexpr auto use = pages ? PackedFile::Use::read : PackedFile::Use::mapped;
        packed_ = PackedFile::open(path, key, sizes, team, why, use);
        if (!why.empty() && options.log) options.log(why + "; it is made anew");
        if (packed_) return false;
        try {
            packed_ = PackedFile::create(path, key, sizes, use);
        } catch (const FileError& e) {
            if (pages) throw;
            if (options.log) options.log(std::string(e.what()) + "; the packed weights are not kept");
        }
        return packed_.has_value();
    }
    template <class Team>
    void finish_packed(const LoadOptions& options, Team& team) {
        try {
            packed_->finish(team);
        } catch (const FileError& e) {
            if (pages) throw;
            if (options.log) options.log(std::string(e.what()) + "; the packed weights are not kept");
        }
    }

    /// Lays the paged weights out in memory, as they are in the packed file.
    void open_window() {
        plan_ = paging_plan<D, P>();
        std::vector<WeightWindow::Run> runs;
        for (const auto& piece : plan_.pieces) runs.push_back({packed_->offset(piece.matrix) + piece.begin, piece.bytes, piece.slot, piece.next});
        window_ = std::make_unique<WeightWindow>(std::move(runs), window_layers<D, P>, plan_.slot_bytes(), plan_.panel_bytes());
    }
    /// Where a paged matrix lies while its part is held; null for the embedding and the head, which are never there as a whole.
    const std::byte* paged_address(std::size_t index, const Part& part) const {
        if (part.kind == Part::embedding) return nullptr;
        const int at = part.kind == Part::vision ? part.index : plan_.layer(part.index);
        const auto& piece = plan_.pieces[static_cast<std::size_t>(at)];
        return piece.slot < 0 ? nullptr : window_->at(at) + (packed_->offset(index) - packed_->offset(piece.matrix));
    }
    /// Packs a matrix into the file in blocks of rows, each of which leaves memory when it is written.
    template <class Format, class Source, class Team>
    void fill_paged([[maybe_unused]] Source& source, const TensorView& view, const std::string& name, std::size_t index, Team& team,
                    const weights::ColumnMoments* moments) {
        const std::int64_t rows = view.shape[0], cols = view.elements() / rows, step = rows_at_once<D>(cols);
        const auto bytes = [&](std::int64_t n) { return weights::traits<Format>::template bytes<Arch>(n, cols); };
        for (std::int64_t row = 0; row < rows; row += step) {
            const std::int64_t count = std::min(step, rows - row);
            TensorView block{view.dtype, {row, cols}, view.data, view.file};
            block.data += block.bytes();
            block.shape[0] = count;
            std::byte* room = packed_->at(index) + bytes(row);
            weights::pack<Arch, typename weights::paging<Format>::format>(block, name, count, cols, team, room, moments);
            packed_->flush(room, bytes(count));
            if constexpr (requires { source.release(block); }) source.release(block);
        }
    }
    /// Row `r` of a matrix, of the packed file's matrix `index`.
    template <class Format>
    void read_row(const weights::WeightMatrix& w, [[maybe_unused]] std::size_t index, std::int64_t r, float* out) const {
        using Traits = weights::traits<Format>;
        if constexpr (weights::is_paged<Format>) {
            const std::int64_t first = r / weights::panel_rows<Arch> * weights::panel_rows<Arch>, count = std::min(weights::panel_rows<Arch>, w.rows() - first);
            const auto bytes = [&](std::int64_t n) { return Traits::template bytes<Arch>(n, w.cols()); };
            window_->read(packed_->offset(index) + bytes(first), bytes(count),
                          [&](const std::byte* panel) { Traits::template row<Arch>(weights::WeightMatrix(panel, count, w.cols()), r - first, out); });
        } else {
            Traits::template row<Arch>(w, r, out);
        }
    }

    /// f(name, format, bytes in the layout of its kernels, part) for every matrix; 0 bytes: the format is row-major and has none of its own.
    template <class F>
    static void for_each_packed(F&& f) {
        for_each_matrix<D>([&](const std::string& name, std::int64_t rows, std::int64_t cols, const Part& part) {
            with_format(part, [&]<class Format>(type_tag<Format>) {
                using Traits = weights::traits<Format>;
                f(name, Format::name, Traits::row_major ? 0 : Traits::template bytes<Arch>(rows, cols), part);
            });
        });
    }
    /// Room for every packed matrix; null for all others. One block for all: huge pages fit it, which virtual machines read up to twice as fast.
    std::vector<std::byte*> take_rooms(memory::Tiers* tiers) {
        std::int64_t sum = 0;
        for_each_packed([&](const std::string&, const char*, std::int64_t bytes, const Part&) { sum += bytes > 0 ? WeightMemory::footprint(bytes) : 0; });
        memory_ = memory::make<WeightMemory>(sum, tiers);
        std::vector<std::byte*> rooms;
        for_each_packed([&](const std::string&, const char*, std::int64_t bytes, const Part& part) {
            rooms.push_back(bytes > 0 ? memory::take(memory_, bytes, role(part)) : nullptr);
        });
        memory::settle(memory_);
        return rooms;
    }
    static memory::Role role(const Part& part) {
        if (part.kind == Part::vision) return {memory::Pool::vision, memory::Content::kept, part.index};
        if (part.kind == Part::embedding) return {memory::Pool::embedding, memory::Content::kept, 0};
        return {part.ffn ? memory::Pool::mlp : memory::Pool::attention, memory::Content::kept, part.index};
    }
    /// Keeps a part's matrices in memory, where they might not be.
    auto hold_part([[maybe_unused]] const Part& part, [[maybe_unused]] bool writes = false) const {
        if constexpr (memory::TellsRoles<WeightMemory>)
            return memory_.hold(role(part), writes);
        else
            return memory::AlwaysThere{};
    }
    struct TierHolder {
        const ModelImpl* model;
        auto operator()(int stage) const { return model->hold_part({Part::vision, stage}); }
    };

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
            with_stored_format<P>(part, [&]<class Format>(type_tag<Format>) {
                if constexpr (weights::is_paged<Format>) return;
                sum.bytes += weights::traits<Format>::template bytes<Arch>(rows, cols);
                sum.mapped = sum.mapped && weights::traits<Format>::is_mapped(checkpoint);
            });
        });
        vectors.bytes = (all - matrices) * static_cast<std::int64_t>(sizeof(float));
        for (auto* part : {&embedding, &decoder, &tower})
            if (part->bytes > 0) plan.parts.push_back(std::move(*part));
        if (pages) plan.parts.push_back({"weights: window of the paged", window_bytes<D, P>(), false});
        plan.parts.push_back(vectors);
    }

    std::optional<PackedFile> packed_;
    WeightMemory memory_;
    Parameters parameters_;
    PolicyTables tables_;
    std::shared_ptr<const void> keep_alive_;
    std::shared_ptr<const Assets> assets_;
    PagingPlan plan_;
    std::unique_ptr<WeightWindow> window_;  ///< where `pages`
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
