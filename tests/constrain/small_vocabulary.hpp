#pragma once
#include <map>
#include <memory>
#include <qwen3vl/constrain/constrain.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace small_vocabulary {

namespace q = qwen3vl;

/// A tokenizer with a token for each byte, whose id is the byte, and for these texts and all that they begin with. It
/// merges from the left. The added tokens stand behind them; the last is "<|im_end|>".
inline q::tokenizer::Tokenizer make_tokenizer(const std::vector<std::string>& texts, bool without_q = false,
                                              std::vector<std::string> added = {}) {
    std::map<std::string, int> ids;
    std::vector<q::tokenizer::Vocabulary::Entry> entries;
    q::tokenizer::TokenizerParts parts;
    for (int b = 0; b < 256; ++b) {
        ids.emplace(std::string(1, static_cast<char>(b)), b);
        if (!(without_q && b == 'q')) entries.push_back({std::string(1, static_cast<char>(b)), b, true});
    }
    for (const auto& text : texts)
        for (std::size_t n = 2; n <= text.size(); ++n) {
            const auto [at, is_new] = ids.emplace(text.substr(0, n), static_cast<int>(ids.size()));
            if (!is_new) continue;
            entries.push_back({at->first, at->second, true});
            parts.merges.push_back({ids.at(text.substr(0, n - 1)), ids.at(text.substr(n - 1, 1)), at->second});
        }
    added.emplace_back("<|im_end|>");
    for (const auto& content : added) {
        const int id = static_cast<int>(entries.size()) + (without_q ? 1 : 0);
        entries.push_back({content, id, false});
        parts.added.push_back({content, id, true, false});
    }
    parts.file = "small";
    parts.vocabulary = q::tokenizer::Vocabulary(entries, "small");
    parts.missing_bytes = without_q;
    return q::tokenizer::Tokenizer(std::move(parts));
}

/// Pieces as they stand in JSON, words, halves of characters.
inline const q::tokenizer::Tokenizer& tokenizer() {
    static const auto t = make_tokenizer({"\": ",
                                          "\", \"",
                                          "{\"",
                                          "\"}",
                                          "}, {",
                                          "\"]",
                                          "[]",
                                          "[1",
                                          "12",
                                          "1.5",
                                          "-1",
                                          "0.",
                                          "true",
                                          "false",
                                          "null",
                                          "name",
                                          "\"name\": ",
                                          "next",
                                          "abc",
                                          "the cat",
                                          " and",
                                          "\\n",
                                          "\\\"",
                                          "\\u00",
                                          "\xE2\x82\xAC",
                                          "\xE2\x82\xAC!",
                                          "\xC3\xA9t\xC3\xA9",
                                          "\xF0\x9F\x98\x80",
                                          "\xBF\xBF",
                                          "\"\"",
                                          "\n\n",
                                          "    ",
                                          "e+1",
                                          "]}",
                                          "}}"});
    return t;
}
inline const std::shared_ptr<const q::constrain::TokenTrie>& trie() {
    static const auto t = std::make_shared<const q::constrain::TokenTrie>(tokenizer());
    return t;
}

/// True if the grammar allows the text, byte by byte, and allows to end there.
inline bool accepts(const q::constrain::Grammar& grammar, std::string_view text) {
    q::constrain::Matcher m(grammar, trie());
    for (const char c : text) {
        const int token = static_cast<unsigned char>(c);
        if (!m.allows(token)) return false;
        m.accept(token);
    }
    return m.complete();
}

inline bool bit(std::span<const std::uint64_t> mask, int token) {
    return mask[static_cast<std::size_t>(token) / 64] >> (token % 64) & 1;
}

}  // namespace small_vocabulary
