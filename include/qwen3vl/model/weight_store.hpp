#pragma once
#include <memory>
#include <optional>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/model/load_options.hpp>
#include <qwen3vl/model/packed_file.hpp>
#include <qwen3vl/model/stream_plan.hpp>
#include <qwen3vl/model/stream_window.hpp>
#include <qwen3vl/model/weight_source.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// Holds the matrices of a model: in a block of memory, in a mapped packed file, in the checkpoint itself, or in the
/// window of streamed ones. Memory allocates the blocks of packed matrices, which live as long as the store.
template <class Team, class Memory>
class WeightStore {
  public:
    /// Loads every parameter of a manifest that points to them. Throws LoadError, FileError, ConfigError, OutOfMemory,
    /// Cancelled.
    void load(const Manifest<Team>& manifest, const AnyWeightSource& source, const StreamExtents& extents,
              std::string_view arch, Team& team, const LoadOptions& options) {
        extents_ = extents;
        if (pages() && (options.packed.empty() || !source.fingerprint))
            throw ConfigError(
                "LoadOptions::packed: weights::Streamed reads a packed file while the model runs; name a folder for "
                "it");
        if (!options.packed.empty() && source.fingerprint)
            open_packed(manifest, *source.fingerprint, arch, team, options);
        if (pages()) open_window(manifest);
        if (!packed_) allocate(manifest, options.tiers);
        const auto total = static_cast<std::int64_t>(manifest.parameters.size());
        std::int64_t done = 0;
        for (const auto& p : manifest.parameters) {
            report(options.progress, "load", done++, total);
            const TensorView view = take(source, p);
            if (p.vector) {
                p.vector->resize(static_cast<std::size_t>(view.elements()));
                weights::read_values(view, 0, view.elements(), p.vector->data());
            } else {
                load_matrix(p, view, source, team);
            }
        }
        if (filling_) finish_packed(team, options);
        if (pages()) window_->start(packed_->take_file());
        report(options.progress, "load", total, total);
    }

    /// Keeps the matrices of a role in memory, where they might not be. Weights that are streamed are not among them.
    auto hold(const memory::Role& role, [[maybe_unused]] bool writes = false) const {
        if constexpr (memory::TellsRoles<Memory>)
            return memory_.hold(role, writes);
        else
            return memory::NoGuard{};
    }
    /// Null where nothing is streamed.
    StreamWindow* window() const { return window_.get(); }
    const StreamPlan& plan() const { return plan_; }

    /// Writes row `r` of a matrix as float32, [cols], to `out`. Throws FileError.
    void read_row(const Parameter<Team>& p, std::int64_t r, float* out) const {
        if (p.format->streamed()) {
            const std::int64_t first = r / extents_.panel_rows * extents_.panel_rows,
                               count = std::min(extents_.panel_rows, p.rows() - first);
            window_->read(packed_->offset(p.packed) + p.format->bytes(first, p.cols()),
                          p.format->bytes(count, p.cols()), [&](const std::byte* panel) {
                              p.format->row(weights::WeightMatrix(panel, count, p.cols()), r - first, out);
                          });
        } else {
            [[maybe_unused]] const auto held = hold(p.role);
            p.format->row(*p.matrix, r, out);
        }
    }
    /// Calls f(first row, matrix) for blocks of rows of the model's head, which together are all of it. Each is
    /// resident during its call. Throws FileError.
    template <class F>
    void for_each_head_block(const Parameter<Team>& head, F&& f) const {
        if (!head.format->streamed()) {
            [[maybe_unused]] const auto held = hold(head.role);
            return f(std::int64_t{0}, *head.matrix);
        }
        const std::int64_t step = extents_.rows_at_once(head.cols());
        for (std::int64_t row = 0; row < head.rows(); row += step) {
            const int part = plan_.head_block(row / step);
            const auto held = window_->hold(part);
            f(row, weights::WeightMatrix(window_->at(part), std::min(step, head.rows() - row), head.cols()));
        }
    }

  private:
    bool pages() const { return extents_.window_layers > 0; }

    static TensorView take(const AnyWeightSource& source, const Parameter<Team>& p) {
        try {
            return source.take(p.name, p.shape);
        } catch (const LoadError& e) {
            if (!p.of_policy) throw;
            throw LoadError(std::string(e.what()) +
                            "; a policy brings this parameter: name a file that holds it in LoadOptions::parameters");
        }
    }
    void load_matrix(const Parameter<Team>& p, const TensorView& view, const AnyWeightSource& source, Team& team) {
        const std::int64_t rows = p.rows(), cols = p.cols();
        const std::optional<weights::InputGram> known = source.moments(p.name, cols);
        const auto* moments = known ? &*known : nullptr;
        if (p.format->streamed()) {
            if (filling_) fill_streamed(p, view, source, team, moments);
            *p.matrix = weights::WeightMatrix(streamed_address(p), rows, cols);
        } else if (p.format->row_major) {
            *p.matrix = p.format->load(view, p.name, rows, cols, team, moments);
        } else {
            [[maybe_unused]] const auto held = hold(p.role, true);
            std::byte* place = packed_ ? nullptr : places_[p.packed];
            if (filling_) place = packed_->at(p.packed);
            if (place) p.format->pack(view, p.name, rows, cols, team, place, moments);
            *p.matrix = weights::WeightMatrix(place ? place : std::as_const(*packed_).at(p.packed), rows, cols);
        }
        if (p.matrix->data() != view.data) source.release(view);
    }

    static std::int64_t packed_bytes(const Parameter<Team>& p) { return p.format->row_major ? 0 : p.bytes(); }

    /// Allocates memory for every packed matrix. One block for all: huge pages fit it, which virtual machines read up
    /// to twice as fast.
    void allocate(const Manifest<Team>& manifest, memory::Tiers* tiers) {
        std::int64_t sum = 0;
        const auto each = [&](auto&& f) {
            for (std::size_t i = 0; i < manifest.matrices.size(); ++i)
                f(manifest.matrix(i), packed_bytes(manifest.matrix(i)));
        };
        each([&](const auto&, std::int64_t bytes) { sum += bytes > 0 ? Memory::footprint(bytes) : 0; });
        memory_ = memory::make<Memory>(sum, tiers);
        each([&](const auto& p, std::int64_t bytes) {
            places_.push_back(bytes > 0 ? memory::take(memory_, bytes, p.role) : nullptr);
        });
        memory::settle(memory_);
    }

    /// Opens the packed file for these weights, or begins a new one, which is to be filled.
    void open_packed(const Manifest<Team>& manifest, std::uint64_t fingerprint, std::string_view arch, Team& team,
                     const LoadOptions& options) {
        std::vector<std::int64_t> sizes;
        std::uint64_t layout = checksum(std::string(arch) + ' ' + std::to_string(weights::layout_version));
        for (std::size_t i = 0; i < manifest.matrices.size(); ++i) {
            const auto& p = manifest.matrix(i);
            sizes.push_back(packed_bytes(p));
            layout = checksum(p.name + ' ' + p.format->name, layout);
        }
        const std::string path = PackedFile::path(options.packed, layout);
        const std::uint64_t key = layout ^ fingerprint;
        std::string why;
        const auto use = pages() ? PackedFile::Use::read : PackedFile::Use::mapped;
        packed_ = PackedFile::open(path, key, sizes, team, why, use);
        if (!why.empty() && options.log) options.log(why + "; it is made anew");
        if (packed_) return;
        keep_going(options, [&] { packed_ = PackedFile::create(path, key, sizes, use); });
        filling_ = packed_.has_value();
    }
    void finish_packed(Team& team, const LoadOptions& options) {
        keep_going(options, [&] { packed_->finish(team); });
    }
    /// Runs f. A FileError only goes to the log where nothing is streamed, since the model then does without a packed
    /// file; otherwise it is rethrown.
    template <class F>
    void keep_going(const LoadOptions& options, F&& f) {
        try {
            f();
        } catch (const FileError& e) {
            if (pages()) throw;
            if (options.log) options.log(std::string(e.what()) + "; the packed weights are not kept");
        }
    }

    /// Lays the streamed weights out in memory, as they are in the packed file.
    void open_window(const Manifest<Team>& manifest) {
        plan_ = stream_plan(manifest, extents_);
        std::vector<StreamWindow::Run> runs;
        for (const auto& piece : plan_.pieces)
            runs.push_back({packed_->offset(piece.matrix) + piece.begin, piece.bytes, piece.slot, piece.next});
        window_ = std::make_unique<StreamWindow>(std::move(runs), extents_.window_layers, plan_.slot_bytes(),
                                                 plan_.panel_bytes());
    }
    /// Address of a streamed matrix, valid while its part is held. Null for the embedding and the head, which are never
    /// resident as a whole, and for layers that never run.
    const std::byte* streamed_address(const Parameter<Team>& p) const {
        if (p.stage == plan_.head_stage) return nullptr;
        const auto& piece = plan_.pieces[static_cast<std::size_t>(p.stage)];
        return piece.slot < 0 ? nullptr
                              : window_->at(p.stage) + (packed_->offset(p.packed) - packed_->offset(piece.matrix));
    }
    /// Packs a matrix into the file in blocks of rows, each of which leaves memory when it is written.
    void fill_streamed(const Parameter<Team>& p, const TensorView& view, const AnyWeightSource& source, Team& team,
                       const weights::InputGram* moments) {
        const std::int64_t rows = p.rows(), cols = p.cols(), step = extents_.rows_at_once(cols);
        for (std::int64_t row = 0; row < rows; row += step) {
            const std::int64_t count = std::min(step, rows - row);
            TensorView block{view.dtype, {row, cols}, view.data, view.file};
            block.data += block.bytes();
            block.shape[0] = count;
            std::byte* place = packed_->at(p.packed) + p.format->bytes(row, cols);
            p.format->pack(block, p.name, count, cols, team, place, moments);
            packed_->flush(place, p.format->bytes(count, cols));
            source.release(block);
        }
    }

    StreamExtents extents_;
    StreamPlan plan_;
    std::optional<PackedFile> packed_;
    bool filling_ = false;            ///< the packed file is new
    std::vector<std::byte*> places_;  ///< by number in a packed file, in memory_
    Memory memory_;
    std::unique_ptr<StreamWindow> window_;
};

}  // namespace qwen3vl::detail
