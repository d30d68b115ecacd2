#pragma once
#include <limits>
#include <optional>
#include <qwen3vl/checkpoint/gguf_metadata.hpp>
#include <qwen3vl/tokenizer/byte_level.hpp>
#include <qwen3vl/tokenizer/tokenizer.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// Makes a tokenizer of the keys tokenizer.ggml.* of a GGUF file (ggml docs/gguf.md). It gives the same ids as the
/// tokenizer.json of the model's folder, which spells out the pre-tokenizer that is only named here.
class GgufTokenizer {
  public:
    /// Returns nullopt where the file has no tokenizer. Throws ConfigError where a key has the wrong type;
    /// TokenizerError where the tokenizer is malformed, or of a kind that the library lacks.
    static std::optional<tokenizer::Tokenizer> read(const GgufMetadata& metadata) {
        if (!metadata.find("tokenizer.ggml.model")) return std::nullopt;
        return tokenizer::Tokenizer(GgufTokenizer(metadata).parts());
    }

  private:
    explicit GgufTokenizer(const GgufMetadata& metadata) : m_(metadata) {}

    enum Type : std::int64_t { normal = 1, control = 3, user_defined = 4, unused = 5 };  // llama.h, `llama_token_type`
    static constexpr std::uint64_t most_tokens = std::uint64_t{1} << 22;
    static constexpr std::size_t longest_added = 256;

    [[noreturn]] void refuse(const std::string& key, const std::string& expected, const std::string& found) const {
        throw TokenizerError(m_.file() + ": field '" + key + "': expected " + expected + ", found " + found);
    }

    tokenizer::TokenizerParts parts() const {
        tokenizer::TokenizerParts out;
        out.file = m_.file();
        out.missing_bytes = true;  // SmolLM2 has none for most control characters
        const std::string model = "tokenizer.ggml.model";
        if (const auto name = m_.string(model); name != "gpt2")
            refuse(model, "gpt2, a byte-level BPE", "'" + quoted(*name) + "'");
        read_pre_tokenizer(out);
        read_tokens(out);
        read_merges(out);
        return out;
    }

    /// Reads the pre-tokenizer by its name, as it is defined in llama.cpp src/llama-vocab.cpp, `llm_tokenizer_bpe`, and
    /// the tokenizer.json of Qwen3-VL and of SmolLM2.
    void read_pre_tokenizer(tokenizer::TokenizerParts& out) const {
        const std::string key = "tokenizer.ggml.pre", where = m_.file() + ": field '" + key + "'";
        const auto name = m_.string(key);
        if (name == "qwen2") {
            out.normalise = true;
            out.splits.push_back(tokenizer::SplitPattern::regex(qwen2_pattern, where));
        } else if (name == "smollm") {
            out.splits.push_back(tokenizer::SplitPattern::regex("\\p{N}", where));
            out.splits.push_back(tokenizer::SplitPattern::regex(tokenizer::ByteLevel::split_pattern, where));
        } else if (name == "gpt-2") {
            out.splits.push_back(tokenizer::SplitPattern::regex(tokenizer::ByteLevel::split_pattern, where));
        } else {
            refuse(key, "qwen2, smollm or gpt-2", name ? "'" + quoted(*name) + "'" : "nothing");
        }
    }

    void read_tokens(tokenizer::TokenizerParts& out) const {
        const std::string key = "tokenizer.ggml.tokens", type_key = "tokenizer.ggml.token_type";
        const auto tokens = m_.strings(key, most_tokens);
        const auto types = m_.integers(type_key, most_tokens);
        if (!tokens) refuse(key, "an array of strings", "nothing");
        if (!types) refuse(type_key, "an array of integers", "nothing");
        if (types->size() != tokens->size())
            refuse(type_key, std::to_string(tokens->size()) + " types, one for each token",
                   std::to_string(types->size()));
        std::vector<tokenizer::Vocabulary::Entry> entries;
        std::set<std::string_view> added;
        for (std::size_t i = 0; i < tokens->size(); ++i) {
            const std::string_view token = (*tokens)[i];
            const auto at = [&] { return key + "[" + std::to_string(i) + "]"; };
            if (tokenizer::repair_utf8(token) != token) refuse(at(), "UTF-8", "other bytes");
            const int id = static_cast<int>(i);
            switch ((*types)[i]) {
                case normal: {
                    auto bytes = tokenizer::ByteLevel::bytes(token);
                    if (!bytes) refuse(at(), "a token spelled in the byte-level alphabet", "'" + quoted(token) + "'");
                    entries.push_back({std::move(*bytes), id, true});
                    break;
                }
                case control:
                case user_defined:
                    if (token.empty() || token.size() > longest_added)
                        refuse(at(), "1 to " + std::to_string(longest_added) + " bytes in a control token",
                               std::to_string(token.size()));
                    if (!added.insert(token).second)
                        refuse(at(), "each control token once", "'" + quoted(token) + "' again");
                    entries.push_back({std::string(token), id, false});
                    out.added.push_back({.content = std::string(token),
                                         .id = id,
                                         .special = (*types)[i] == control,
                                         .normalized = false});
                    break;
                case unused: break;  // fills the table up to its size: no token
                default: refuse(type_key + "[" + std::to_string(i) + "]", "1, 3, 4 or 5", std::to_string((*types)[i]));
            }
        }
        out.vocabulary = tokenizer::Vocabulary(entries, m_.file());
    }

    /// "left right", in order of rank.
    void read_merges(tokenizer::TokenizerParts& out) const {
        const std::string key = "tokenizer.ggml.merges";
        const auto merges = m_.strings(key, most_tokens);
        if (!merges) refuse(key, "an array of strings", "nothing");
        out.merges.reserve(merges->size());
        for (std::size_t rank = 0; rank < merges->size(); ++rank) {
            const std::string_view merge = (*merges)[rank];
            const auto at = [&] { return key + "[" + std::to_string(rank) + "]"; };
            const auto space = merge.find(' ');
            if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos ||
                tokenizer::repair_utf8(merge) != merge)
                refuse(at(), "two tokens and a space between them", "'" + quoted(merge) + "'");
            const auto find = [&](const std::string& spelling) {
                const auto bytes = tokenizer::ByteLevel::bytes(spelling);
                const auto id = bytes ? out.vocabulary.find(*bytes) : std::nullopt;
                if (!id) refuse(at(), "tokens of the vocabulary", "'" + quoted(spelling) + "'");
                return *id;
            };
            const std::string left(merge.substr(0, space)), right(merge.substr(space + 1));
            out.merges.push_back({find(left), find(right), find(left + right)});
        }
    }

    static std::string quoted(std::string_view text) { return tokenizer::repair_utf8(text.substr(0, 60)); }

    static constexpr std::string_view qwen2_pattern =
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    const GgufMetadata& m_;
};

}  // namespace qwen3vl::checkpoint
