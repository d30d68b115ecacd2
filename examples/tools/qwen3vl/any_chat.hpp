#pragma once
#include <qwen3vl/chat/chat.hpp>
#include <qwen3vl/checkpoint/hf_config.hpp>
#include <qwen3vl/retrieval/embedder.hpp>

#include <memory>
#include <string>
#include <vector>

// The library has no run-time dispatch; the command line, which meets its checkpoint at run time, has one: this
// interface, implemented for each Dims of QWEN3VL_CLI_DIMS and bundle of QWEN3VL_CLI_BUNDLES in a file of its own
// (model_file.cpp.in).

struct AnyChat {
    virtual ~AnyChat() = default;
    virtual qwen3vl::Reply ask(const std::vector<qwen3vl::Input>& content, const qwen3vl::TextCallback& callback) = 0;
    virtual std::int64_t token_count(const std::vector<qwen3vl::Input>& content) const = 0;
    virtual void clear() = 0;
};

struct AnyEmbedder {
    virtual ~AnyEmbedder() = default;
    virtual std::vector<std::vector<float>> embed(const std::vector<qwen3vl::EmbedInput>& inputs) = 0;
    virtual std::uint64_t fingerprint() const = 0;
    virtual int dimensions() const = 0;
};

/// What a compiled model offers.
struct AnyModel {
    const char* name;
    const char* bundle;
    bool (*matches)(const qwen3vl::checkpoint::HfConfig& config, std::string* why);
    std::unique_ptr<AnyChat> (*open)(const std::string& path, const qwen3vl::ChatOptions& options,
                                     const qwen3vl::LoadOptions& load);
    std::unique_ptr<AnyEmbedder> (*embedder)(const std::string& path, const qwen3vl::EmbedderOptions& options,
                                             const qwen3vl::LoadOptions& load);
    qwen3vl::MemoryPlan (*plan)(const qwen3vl::SessionOptions& options);
    std::int64_t parameters;
    bool sees;  ///< has a vision tower
};

/// Every Dims and bundle this program is compiled for.
const std::vector<AnyModel>& compiled_models();
/// The one that a checkpoint's config.json, or a GGUF file with its vision part, describes, with this bundle; an empty
/// one: the first compiled. Throws ConfigError, which says for each why not.
const AnyModel& model_for(const std::string& path, const std::string& mmproj, const std::string& bundle);
