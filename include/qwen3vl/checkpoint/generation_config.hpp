#pragma once
#include <optional>
#include <qwen3vl/core/config.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// generation_config.json: how the publisher of a checkpoint wants it sampled. What the file does not state is empty.
struct GenerationConfig {
    std::optional<bool> do_sample;             ///< false: greedy
    std::optional<double> temperature;         ///< from 0; 0 is greedy
    std::optional<double> top_p;               ///< in [0, 1]
    std::optional<int> top_k;                  ///< from 0; 0 keeps all
    std::optional<double> min_p;               ///< in [0, 1]
    std::optional<double> repetition_penalty;  ///< above 0; 1 is none
    std::optional<double> presence_penalty;    ///< 0 is none
    std::vector<int> eos;                      ///< eos_token_id, one or several
    std::optional<int> bos, pad;               ///< bos_token_id, pad_token_id
};

}  // namespace qwen3vl::checkpoint
