#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include "limits.hpp"

/// The seam between model_bench's program and the compiled models, each of which stands in a file of its own.
namespace bench {

/// A figure of a row of the table: what was measured, and what the machine would need at least.
struct Figure {
    std::string name;         ///< "decode", "ttft.vision", …
    double seconds = 0;       ///< of one run
    std::vector<Part> parts;  ///< what one run does; empty: no limit is known
    double tokens = 0;        ///< above 0: reported as tokens/s, otherwise as seconds
};

/// A model with synthetic weights.
class LoadedModel {
  public:
    virtual ~LoadedModel() = default;
    /// Makes ready for run(); ends what was ready before.
    virtual void prepare(std::string_view work) = 0;
    /// Does the work once.
    virtual std::vector<Figure> run() = 0;
    virtual void finish() = 0;
};

struct Entry {
    const char* dims;
    const char* bundle;
    std::unique_ptr<LoadedModel> (*load)(int threads);
    int layers, heads;  ///< of the decoder
    std::int64_t parameters;
    bool preserved;  ///< whether all of them take part
};

/// Every work that --work takes.
inline constexpr const char* works[] = {"decode",   "decode4096", "prefill512", "prefill4096",
                                        "image512", "image1024",  "ttft"};

/// Every compiled model, from the list that CMake made.
std::span<const Entry> entries();

}  // namespace bench
