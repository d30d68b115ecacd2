#pragma once
#include <limits>
#include <map>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/tokenizer/byte_level.hpp>
#include <qwen3vl/tokenizer/tokenizer.hpp>
#include <qwen3vl/tokenizer/tokenizer_sax.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Turns the fields of a tokenizer.json into TokenizerParts. Everything that changes the tokens is either understood or
/// refused by name.
class TokenizerLoader {
  public:
    /// `text` is the whole file. Throws TokenizerError.
    static TokenizerParts parts(std::string_view text, const std::string& file_name) {
        return TokenizerLoader(file_name).load(text);
    }

  private:
    using json = nlohmann::json;
    explicit TokenizerLoader(const std::string& file) : file_(file) {}

    TokenizerParts load(std::string_view text) {
        const auto contents = TokenizerSax::read(text, file_);
        const json& root = contents.rest;
        if (!root.is_object()) refuse("", "an object", root.type_name());
        TokenizerParts out;
        out.file = file_;
        for (const char* name : {"truncation", "padding"}) {
            if (has(root, name)) refuse(name, "null (not supported)", describe(root[name]));
        }
        read_normalizer(root, out);
        read_pre_tokenizer(root, out);
        read_post_processor(root);
        if (type_of(member(root, "decoder", ""), "decoder") != "ByteLevel")
            refuse("decoder.type", "ByteLevel", describe(root["decoder"]["type"]));
        read_model(root, out);
        read_added(root, out);
        read_tokens(contents, out);
        return out;
    }

    [[noreturn]] void refuse(const std::string& field, const std::string& expected, const std::string& found) const {
        throw TokenizerError(file_ + ": field '" + field + "': expected " + expected + ", found " + found);
    }
    /// A value for an error message, not longer than a line.
    static std::string describe(const json& value) {
        if (value.is_object() || value.is_array()) return std::string("an ") + value.type_name();
        const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
        return text.size() <= 80 ? text : text.substr(0, 80) + "…";
    }
    /// True if a member is there and not null.
    static bool has(const json& object, const char* name) { return object.contains(name) && !object[name].is_null(); }
    const json& member(const json& object, const char* name, const std::string& path) const {
        if (!object.is_object()) refuse(path, "an object", describe(object));
        if (!object.contains(name)) refuse(path.empty() ? name : path + "." + name, "a value", "none");
        return object[name];
    }
    std::string text_of(const json& object, const char* name, const std::string& path) const {
        const json& value = member(object, name, path);
        if (!value.is_string()) refuse(path + "." + name, "a string", describe(value));
        return value.get<std::string>();
    }
    std::string type_of(const json& object, const std::string& path) const { return text_of(object, "type", path); }
    /// A flag; `absent` where it is missing or null.
    bool flag(const json& object, const char* name, const std::string& path, bool absent) const {
        if (!has(object, name)) return absent;
        if (!object[name].is_boolean()) refuse(path + "." + name, "true or false", describe(object[name]));
        return object[name].get<bool>();
    }
    void require_off(const json& object, const char* name, const std::string& path) const {
        if (flag(object, name, path, false)) refuse(path + "." + name, "false (not supported)", "true");
    }
    /// Calls `each(item, path)` for the item, or where it is a "Sequence" for each of its members.
    template <class Each>
    void for_each_step(const json& item, const char* members, const std::string& path, const Each& each) const {
        if (type_of(item, path) != "Sequence") return each(item, path);
        const json& list = member(item, members, path);
        if (!list.is_array()) refuse(path + "." + members, "an array", describe(list));
        if (list.size() > most_steps)
            refuse(path + "." + members, "at most " + std::to_string(most_steps) + " members",
                   std::to_string(list.size()));
        for (std::size_t i = 0; i < list.size(); ++i)
            each(list[i], path + "." + members + "[" + std::to_string(i) + "]");
    }

    void read_normalizer(const json& root, TokenizerParts& out) const {
        if (!has(root, "normalizer")) return;
        for_each_step(root["normalizer"], "normalizers", "normalizer", [&](const json& step, const std::string& path) {
            if (type_of(step, path) != "NFC") refuse(path + ".type", "NFC", describe(step["type"]));
            out.normalise = true;
        });
    }

    void read_pre_tokenizer(const json& root, TokenizerParts& out) const {
        bool bytes = false;
        for_each_step(member(root, "pre_tokenizer", ""), "pretokenizers", "pre_tokenizer",
                      [&](const json& step, const std::string& path) {
                          if (bytes) refuse(path, "nothing after ByteLevel", describe(step));
                          const std::string type = type_of(step, path);
                          if (type == "Split") {
                              out.splits.push_back(read_split(step, path));
                          } else if (type == "Digits") {
                              out.splits.push_back(SplitPattern::regex(
                                  flag(step, "individual_digits", path, false) ? "\\p{N}" : "\\p{N}+", where(path)));
                          } else if (type == "ByteLevel") {
                              bytes = true;
                              require_off(step, "add_prefix_space", path);
                              if (flag(step, "use_regex", path, true))
                                  out.splits.push_back(SplitPattern::regex(ByteLevel::split_pattern, where(path)));
                          } else {
                              refuse(path + ".type", "Split, Digits or ByteLevel", describe(step["type"]));
                          }
                      });
        if (!bytes) refuse("pre_tokenizer", "ByteLevel as the last step", "none");
    }
    SplitPattern read_split(const json& step, const std::string& path) const {
        if (text_of(step, "behavior", path) != "Isolated")
            refuse(path + ".behavior", "Isolated", describe(step["behavior"]));
        require_off(step, "invert", path);
        const json& pattern = member(step, "pattern", path);
        if (pattern.is_object() && has(pattern, "String"))
            return SplitPattern::literal(text_of(pattern, "String", path + ".pattern"),
                                         where(path + ".pattern.String"));
        return SplitPattern::regex(text_of(pattern, "Regex", path + ".pattern"), where(path + ".pattern.Regex"));
    }
    std::string where(const std::string& path) const { return file_ + ": field '" + path + "'"; }

    /// ByteLevel only moves offsets, which are not reported here; every other one adds tokens.
    void read_post_processor(const json& root) const {
        if (!has(root, "post_processor")) return;
        const std::string type = type_of(root["post_processor"], "post_processor");
        if (type != "ByteLevel") refuse("post_processor.type", "ByteLevel or null", "'" + type + "'");
    }

    void read_model(const json& root, TokenizerParts& out) const {
        const json& model = member(root, "model", "");
        if (type_of(model, "model") != "BPE") refuse("model.type", "BPE", describe(model["type"]));
        if (has(model, "dropout") && model["dropout"] != 0)
            refuse("model.dropout", "null (not supported)", describe(model["dropout"]));
        require_off(model, "byte_fallback", "model");
        for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
            if (has(model, name) && model[name] != "")
                refuse(std::string("model.") + name, "null or empty (not supported)", describe(model[name]));
        }
        out.whole_pieces = flag(model, "ignore_merges", "model", false);
    }

    void read_added(const json& root, TokenizerParts& out) const {
        if (!has(root, "added_tokens")) return;
        const json& list = root["added_tokens"];
        if (!list.is_array()) refuse("added_tokens", "an array", describe(list));
        for (std::size_t i = 0; i < list.size(); ++i) {
            const std::string path = "added_tokens[" + std::to_string(i) + "]";
            const json& item = list[i];
            AddedToken token{.content = text_of(item, "content", path), .special = flag(item, "special", path, false)};
            token.normalized = flag(item, "normalized", path, !token.special);
            const json& id = member(item, "id", path);
            if (!id.is_number_unsigned() || id.get<std::uint64_t>() > std::numeric_limits<int>::max())
                refuse(path + ".id", "an id", describe(id));
            token.id = id.get<int>();
            for (const char* name : {"single_word", "lstrip", "rstrip"}) require_off(item, name, path);
            if (token.content.empty() || token.content.size() > longest_added) {
                refuse(path + ".content", "1 to " + std::to_string(longest_added) + " bytes",
                       std::to_string(token.content.size()));
            }
            out.added.push_back(std::move(token));
        }
    }

    /// Joins the model's vocabulary with the added tokens (some files list these in both places) and resolves the
    /// merges' names.
    void read_tokens(const TokenizerSax::Contents& contents, TokenizerParts& out) const {
        std::map<std::string_view, int> added;
        for (const auto& t : out.added) {
            if (!added.emplace(t.content, t.id).second)
                refuse("added_tokens", "different contents", "'" + t.content + "' twice");
        }
        std::vector<Vocabulary::Entry> entries;
        entries.reserve(contents.vocab.size() + added.size());
        for (const auto& [spelling, id] : contents.vocab) {
            auto bytes = ByteLevel::bytes(spelling);
            if (const auto also = added.find(spelling); also != added.end()) {
                if (also->second != id)
                    refuse("model.vocab",
                           "the id " + std::to_string(also->second) + " of added token '" + spelling + "'",
                           std::to_string(id));
                added.erase(also);
                entries.push_back({spelling, id, bytes == spelling});
            } else if (bytes) {
                entries.push_back({std::move(*bytes), id, true});
            } else {
                refuse("model.vocab", "tokens spelled in the byte-level alphabet", "'" + spelling + "'");
            }
        }
        for (const auto& [content, id] : added) entries.push_back({std::string(content), id, false});
        out.vocabulary = Vocabulary(entries, file_);

        const auto find = [&](std::size_t rank, const std::string& spelling) {
            const auto bytes = ByteLevel::bytes(spelling);
            const auto id = bytes ? out.vocabulary.find(*bytes) : std::nullopt;
            if (!id)
                refuse("model.merges[" + std::to_string(rank) + "]", "tokens of the vocabulary", "'" + spelling + "'");
            return *id;
        };
        out.merges.reserve(contents.merges.size());
        for (std::size_t rank = 0; rank < contents.merges.size(); ++rank) {
            const auto& [left, right] = contents.merges[rank];
            out.merges.push_back({find(rank, left), find(rank, right), find(rank, left + right)});
        }
    }

    static constexpr std::size_t longest_added = 256, most_steps = 16;
    const std::string& file_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Tokenizer Tokenizer::from_json(std::string_view text, const std::string& file_name) {
    return Tokenizer(TokenizerLoader::parts(text, file_name));
}

QWEN3VL_SUPPORT Tokenizer Tokenizer::open(const std::string& path) {
    constexpr std::size_t largest_file = std::size_t{128} << 20;  // the largest known are about 35 MB
    return from_json(read_file(path, largest_file), path);
}

#endif

}  // namespace qwen3vl::tokenizer
