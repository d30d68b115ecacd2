#pragma once
#include <qwen3vl/core/progress.hpp>
#include <qwen3vl/memory/tiers.hpp>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Options of Model::load().
struct LoadOptions {
    ProgressCallback progress = {};  ///< stage "load", in tensors
    LogHook log = {};                ///< told of tensors that nothing uses
    int threads = 0;                 ///< threads that convert; 0: the execution policy's default
    /// A folder for the packed form of the weights (model/packed_file.hpp): read there, and written where it is missing
    /// or stale. load() makes the folder. Streamed weights need it.
    std::string packed = {};
    std::string calibration =
        {};  ///< a file made by examples/tools/calibrate, by which integer formats round weights; empty: to nearest
    /// Safetensors files beside the checkpoint: parameters that policies bring, or others in place of the checkpoint's
    /// own. Each tensor has to be used.
    std::vector<std::string> parameters = {};
    std::string mmproj =
        {};  ///< of a GGUF model: the file with its vision part; empty: the one file mmproj*.gguf beside it
    /// Tiers that idle weights may be moved between, for memory::Tiered; outlive the model. Weights mapped from a file
    /// are left to the operating system.
    memory::Tiers* tiers = nullptr;
};

}  // namespace qwen3vl
