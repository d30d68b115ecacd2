#pragma once
#include <functional>
#include <qwen3vl/execution/threads.hpp>
#include <qwen3vl/ops/cpu.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::ops {

/// Receives the arguments of a workspace's operations, where the execution policy is ops::Recorded:
/// WorkspaceOptions::recorder.
struct Recorder {
    /// Kind of a head's row.
    enum class Row { query, key, value };
    /// Rows [rows, cols] that a matrix is multiplied with. Formats that pack activations otherwise than as float32 rows
    /// (all but Mapped) are not told of.
    std::function<void(const weights::WeightMatrix& w, ConstMatrix rows)> inputs = {};
    /// Receives a row [head_dim] of a decoder layer on its way to attention, rotated: a key or value, or a query with
    /// its key/value head. Queries are scaled by 1 / sqrt(head_dim). Called by several threads at once.
    std::function<void(Row kind, int layer, std::int64_t kv_head, const float* row)> heads = {};
};

/// The CPU's operations, which tell the team's recorder first.
template <class TheArch, class TheTeam>
class Recording : public Cpu<TheArch, TheTeam> {
    using Base = Cpu<TheArch, TheTeam>;

  public:
    using Base::Base;
    using Weights = typename Base::Weights;  ///< matrices, as Cpu
    using Space = typename Base::Space;      ///< memory, as Cpu

    /// As Cpu::project.
    template <class Format, std::size_t N>
    void project(const weights::PackedActivations& x, const std::array<const Weights*, N>& w, Matrix y) const {
        for (const Weights* matrix : w) tell<Format>(x, *matrix);
        Base::template project<Format>(x, w, y);
    }
    /// As Cpu::store.
    template <class Format>
    void store(const weights::PackedActivations& x, const Weights& w, const std::vector<float>* bias, Matrix y) const {
        tell<Format>(x, w);
        Base::template store<Format>(x, w, bias, y);
    }
    /// As Cpu::add.
    template <class Format>
    void add(const weights::PackedActivations& x, const Weights& w, const std::vector<float>* bias, Matrix y) const {
        tell<Format>(x, w);
        Base::template add<Format>(x, w, bias, y);
    }
    /// As Cpu::add_scaled.
    template <class Format>
    void add_scaled(const weights::PackedActivations& x, const Weights& w, const float* factors, Matrix y) const {
        tell<Format>(x, w);
        Base::template add_scaled<Format>(x, w, factors, y);
    }
    /// As Cpu::activated.
    template <class Format, class Activation>
    void activated(const weights::PackedActivations& x, const Weights& w, const std::vector<float>& bias,
                   const weights::PackedActivations& y) const {
        tell<Format>(x, w);
        Base::template activated<Format, Activation>(x, w, bias, y);
    }
    /// As Cpu::gated.
    template <class Format, class Activation>
    void gated(const weights::PackedActivations& x, const Weights& gate, const Weights& up,
               const weights::PackedActivations& y) const {
        tell<Format>(x, gate);
        tell<Format>(x, up);
        Base::template gated<Format, Activation>(x, gate, up, y);
    }
    /// As Cpu::rotate_and_store; rows of heads are told on their way.
    template <class Norm, bool Stores, class Chunk, class Order = InSequence>
    void rotate_and_store(const HeadRows<Space>& rows, std::span<const Chunk> chunks, const Order& order = {}) const {
        const Recorder* recorder = this->team().recorder;
        if (!recorder || !recorder->heads || rows.layer < 0)
            return Base::template rotate_and_store<Norm, Stores>(rows, chunks, order);
        using Cache = std::remove_pointer_t<decltype(Chunk::cache)>;
        std::vector<Told<Cache>> caches;
        std::vector<HeadChunk<Told<Cache>, Space>> told;
        for (const Chunk& c : chunks) caches.push_back({c.cache, recorder, rows.layer});
        for (std::size_t i = 0; i < chunks.size(); ++i) {
            const Chunk& c = chunks[i];
            told.push_back({&caches[i], c.row, c.count, c.first, c.queries, c.tokens, c.token});
        }
        Base::template rotate_and_store<Norm, Stores>(rows, std::span<const HeadChunk<Told<Cache>, Space>>(told),
                                                      order);
        for (const Chunk& c : chunks)
            for (std::int64_t h = 0; h < rows.kv_heads; ++h)
                for (std::int64_t i = 0; i < c.count * rows.group(); ++i) {
                    const std::int64_t at = (h * c.tokens + c.token) * rows.group() + i;
                    recorder->heads(Recorder::Row::query, rows.layer, h, c.queries + at * rows.channels);
                }
    }

  private:
    /// A cache that tells the recorder of what it is given.
    template <class Cache>
    struct Told {
        Cache* cache;
        const Recorder* recorder;
        int layer;
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            cache->template write<Arch>(kv_head, token, key, value);
            recorder->heads(Recorder::Row::key, layer, kv_head, key);
            recorder->heads(Recorder::Row::value, layer, kv_head, value);
        }
    };

    template <class Format>
    void tell(const weights::PackedActivations& x, const Weights& w) const {
        if constexpr (weights::traits<Format>::row_major) {
            const Recorder* recorder = this->team().recorder;
            if (recorder && recorder->inputs)
                recorder->inputs(w, {reinterpret_cast<const float*>(x.data), x.rows, x.cols});
        }
    }
};

/// Execution policy whose workspaces pass the arguments of their operations to a recorder: for calibration
/// (examples/tools/calibrate.cpp) and the like.
///     Policies<>::with_execution<ops::Recorded<>>
template <class Inner = execution::Threads<>>
struct Recorded : Inner {
    static constexpr const char* name = "Recorded";
    /// The inner policy's team, with a recorder.
    class Team : public Inner::Team {
      public:
        using Inner::Team::Team;
        const Recorder* recorder = nullptr;  ///< null: nobody is told
    };
    template <class Arch>
    using Operations = Recording<Arch, Team>;  ///< operations that tell the recorder
};

}  // namespace qwen3vl::ops
