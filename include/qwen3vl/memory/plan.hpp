#pragma once
#include <cstdint>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Bytes that a model and a session of it need, part by part, known before anything is allocated.
struct MemoryPlan {
    /// Memory of one purpose.
    struct Part {
        std::string name;        ///< "weights: decoder", "kv_cache", …
        std::int64_t bytes = 0;  ///< at most, once all of it is in use
        bool mapped =
            false;  ///< pages of the checkpoint itself: shared with other processes, given back under pressure
    };
    std::vector<Part> parts;  ///< in the order in which they are made
    std::int64_t disk =
        0;  ///< bytes of the file that a session makes in SessionOptions::offload_folder; no part of the memory

    /// Bytes of all parts, without `disk`.
    std::int64_t total() const {
        std::int64_t sum = 0;
        for (const auto& p : parts) sum += p.bytes;
        return sum;
    }
    /// Bytes that are not mapped from the checkpoint.
    std::int64_t anonymous() const {
        std::int64_t sum = 0;
        for (const auto& p : parts) sum += p.mapped ? 0 : p.bytes;
        return sum;
    }
};

}  // namespace qwen3vl
