#pragma once
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A number of tokens, as a template argument.
struct Tokens {
    int n = 0;  ///< tokens, text and pad tokens alike
};

}  // namespace qwen3vl
