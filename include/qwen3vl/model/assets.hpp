#pragma once
#include <optional>
#include <qwen3vl/io/generation_config.hpp>
#include <qwen3vl/io/preprocess.hpp>
#include <qwen3vl/io/tokenizer.hpp>
#include <qwen3vl/io/video.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI {

/// What a checkpoint folder holds beside the weights, or what the metadata of a GGUF file says instead.
struct Assets {
    std::string folder;                      ///< or the GGUF file
    std::optional<io::Tokenizer> tokenizer;  ///< absent where the folder has no tokenizer.json
    PreprocessorConfig image;                ///< preprocessor_config.json; the released values where there is none
    VideoPreprocessorConfig video;           ///< video_preprocessor_config.json; the same
    io::GenerationConfig generation;         ///< generation_config.json; its eos taken from config.json where there is none
};

}  // namespace qwen3vl
