#pragma once
#include <cstdint>
#include <functional>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Progress of a long piece of work.
struct Progress {
    std::string_view stage;  ///< "load", "image", "prefill"
    std::int64_t done = 0;   ///< units finished: tensors, vision layers, tokens
    std::int64_t total = 0;  ///< units in all
};

/// Called between the steps of a long piece of work; returning false stops the work, which then throws Cancelled.
using ProgressCallback = std::function<bool(const Progress&)>;

/// Reports and throws Cancelled where the callback asks to stop. An empty callback is no callback.
inline void report(const ProgressCallback& callback, std::string_view stage, std::int64_t done, std::int64_t total) {
    if (callback && !callback({stage, done, total}))
        throw Cancelled("cancelled during " + std::string(stage) + " after " + std::to_string(done) + " of " +
                        std::to_string(total));
}

/// The user's hook for warnings (an unused tensor, say). The library itself never prints.
using LogHook = std::function<void(std::string_view)>;

}  // namespace qwen3vl
