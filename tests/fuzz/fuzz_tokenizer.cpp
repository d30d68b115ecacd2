// A tokenizer.json and what it does to a text. Input: the file, or, if it does not begin with '{', a split expression,
// a zero byte and a text.
#include <cstddef>
#include <cstdint>
#include <qwen3vl/tokenizer/tokenizer_json.hpp>
#include <string>
#include <string_view>

namespace {

void require(bool holds) {
    if (!holds) __builtin_trap();
}

void file(std::string_view text) {
    const auto tokenizer = qwen3vl::tokenizer::Tokenizer::from_json(text, "fuzz");
    const std::string_view sample = text.substr(0, 512);
    for (const std::string_view input :
         {std::string_view("Hello  world's 12\n\n e\xCC\x81 \xF0\x9F\x91\xBB"), sample}) {
        const auto ids = tokenizer.encode(input);
        for (const int id : ids) require(tokenizer.has_token(id) && !tokenizer.is_special(id));
        const std::string repaired = qwen3vl::tokenizer::repair_utf8(input);
        const std::string back = tokenizer.decode(ids);
        require(back == repaired || back == qwen3vl::tokenizer::Nfc::normalise(repaired));
        for (const int id : tokenizer.encode(input, {.parse_special = true})) require(tokenizer.has_token(id));
    }
}

void expression(std::string_view pattern, std::string_view text) {
    const std::string repaired = qwen3vl::tokenizer::repair_utf8(text);
    const auto split = qwen3vl::tokenizer::SplitPattern::regex(pattern, "fuzz");
    qwen3vl::tokenizer::SplitScratch scratch;
    std::string joined;
    split.for_each_piece(repaired, scratch, [&](std::string_view piece) {
        require(!piece.empty());
        joined += piece;
    });
    require(joined == repaired);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 16 * 1024) return 0;
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    try {
        if (input.starts_with('{')) {
            file(input);
        } else {
            const auto zero = input.find('\0');
            expression(input.substr(0, zero), zero == std::string_view::npos ? "" : input.substr(zero + 1, 512));
        }
    } catch (const qwen3vl::TokenizerError&) {
    }
    return 0;
}
