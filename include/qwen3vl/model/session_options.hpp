#pragma once
#include <algorithm>
#include <cstdint>
#include <qwen3vl/core/grid.hpp>
#include <qwen3vl/memory/role.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI {

namespace ops {
struct Recorder;
}

/// Extents of a Sequence, fixed for its life.
struct SequenceOptions {
    int context = 8192;               ///< tokens that its caches hold, of prompt and answer together
    std::string offload_folder = {};  ///< as SessionOptions::offload_folder
    memory::Tiers* tiers = nullptr;   ///< as SessionOptions::tiers
};

/// Extents of a Workspace, fixed for its life.
struct WorkspaceOptions {
    int context = 8192;              ///< the longest context of a sequence that it computes
    int rows = 512;                  ///< tokens of all sequences together that pass the layers at once
    int threads = 0;                 ///< for prompts and pictures; 0: the execution policy's default
    int decode_threads = 0;          ///< for passes in which each sequence goes on by one token; 0: as `threads`
    int logits_rows = 1;             ///< rows of logits [logits_rows, vocab] that are computed at once
    memory::Tiers* tiers = nullptr;  ///< as SessionOptions::tiers
    const ops::Recorder* recorder = nullptr;  ///< as SessionOptions::recorder
};

/// Extents of a Session, fixed for its life.
struct SessionOptions {
    int context = 8192;         ///< tokens the KV cache holds, of prompt and answer together
    int chunk = 512;            ///< tokens that pass the layers at once in prefill; results do not depend on it
    int threads = 0;            ///< for prompts and pictures; 0: the execution policy's default
    int decode_threads = 0;     ///< for one token after another; 0: as `threads`
    Grid largest_picture = {};  ///< for the memory plan alone: patches of the largest picture to come; 0: none
    /// Folder for the file of caches that keep older tokens on disk. The file has no name and goes with the session;
    /// MemoryPlan::disk tells its size.
    std::string offload_folder = {};
    /// Tiers that the session's memory may be moved between while it is idle, for memory::Tiered; outlive the session.
    memory::Tiers* tiers = nullptr;
    /// Receives what operations are given, for ops::Recorded; outlives the session.
    const ops::Recorder* recorder = nullptr;

    /// The part of a session's sequence.
    SequenceOptions sequence() const { return {context, offload_folder, tiers}; }
    /// The part of a session's workspace, whose rows are the chunk, at most the context.
    WorkspaceOptions workspace() const {
        return {.context = context,
                .rows = std::max(1, std::min(chunk, context)),
                .threads = threads,
                .decode_threads = decode_threads,
                .tiers = tiers,
                .recorder = recorder};
    }
};

namespace detail {

/// Threads of prefill and of decode under an execution policy, and of a team that does both.
template <class Execution, class Options>
int prefill_threads(const Options& o) {
    return Execution::team_size(o.threads);
}
template <class Execution, class Options>
int decode_threads(const Options& o) {
    return o.decode_threads > 0 ? Execution::team_size(o.decode_threads) : prefill_threads<Execution>(o);
}
template <class Execution, class Options>
int team_size(const Options& o) {
    return std::max(prefill_threads<Execution>(o), decode_threads<Execution>(o));
}
/// Options with the defaults of both in place: finding them out asks the system.
template <class Execution>
WorkspaceOptions with_threads(WorkspaceOptions o) {
    o.threads = prefill_threads<Execution>(o);
    o.decode_threads = decode_threads<Execution>(o);
    return o;
}

}  // namespace detail
}  // namespace qwen3vl
