#pragma once
#include <qwen3vl/testing/token_modalities.hpp>

namespace bench {

/// Token types of pictures of 256 tokens and of texts as long, which take turns: for masks that ask for them.
struct Conversation : qwen3vl::testing::AlternatingTypes {
    explicit Conversation(std::int64_t tokens) : AlternatingTypes(tokens, 256, 256) {}
};

}  // namespace bench
