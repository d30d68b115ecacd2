#pragma once
#include <optional>
#include <qwen3vl/checkpoint/generation_config.hpp>
#include <qwen3vl/constrain/guide.hpp>
#include <qwen3vl/image/preprocess.hpp>
#include <qwen3vl/image/video.hpp>
#include <qwen3vl/tokenizer/tokenizer.hpp>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Assets of a checkpoint beside its weights: files of the folder, or the metadata of a GGUF file.
struct Assets {
    std::string folder;                             ///< or the GGUF file
    std::optional<tokenizer::Tokenizer> tokenizer;  ///< absent where the folder has no tokenizer.json
    PreprocessorConfig image;       ///< preprocessor_config.json; the released values where there is none
    VideoPreprocessorConfig video;  ///< video_preprocessor_config.json; the released values where there is none
    checkpoint::GenerationConfig
        generation;  ///< generation_config.json; its eos taken from config.json where there is none
    constrain::LazyTokenTrie token_trie;  ///< of the tokenizer, for answers under a grammar
};

}  // namespace qwen3vl
