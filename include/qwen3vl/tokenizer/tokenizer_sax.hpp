#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/json/json_events.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Reads the JSON of a tokenizer.json in one pass. The two long lists, model.vocab and model.merges, go straight into
/// vectors; the rest, which is short, becomes a tree.
class TokenizerSax : json_reader::JsonTree {
  public:
    /// Parts of the file.
    struct Contents {
        nlohmann::json rest;                                      ///< the file without model.vocab and model.merges
        std::vector<std::pair<std::string, int>> vocab;           ///< spelling and id, in the file's order
        std::vector<std::pair<std::string, std::string>> merges;  ///< spellings, in order of rank
    };

    /// Reads the text of a tokenizer.json. Throws TokenizerError where it is no JSON, nests deeper than 64, or has a
    /// member twice; and where a list is missing or has members of a wrong kind.
    static Contents read(std::string_view text, const std::string& file) {
        TokenizerSax reader(file);
        try {
            json_reader::read_json(text, reader);
            if (!reader.saw_vocab_) reader.refuse("model.vocab", "an object", "none");
            if (!reader.saw_merges_) reader.refuse("model.merges", "an array", "none");
        } catch (const ConfigError& e) {
            throw TokenizerError(e.what());
        }
        return {std::move(reader.root()), std::move(reader.vocab_), std::move(reader.merges_)};
    }

  private:
    bool number_unsigned(number_unsigned_t v) override {
        if (list_ != List::vocab) return JsonTree::number_unsigned(v);
        if (v > std::numeric_limits<int>::max())
            refuse("model.vocab", "ids that fit 31 bits", std::to_string(v) + " for '" + key_ + "'");
        vocab_.emplace_back(std::move(key_), static_cast<int>(v));
        return true;
    }
    bool string(string_t& v) override {
        if (list_ == List::merges) return spelled_merge(v);
        if (list_ == List::pair) return pair_member(v);
        return JsonTree::string(v);
    }
    bool start_object(std::size_t size) override {
        if (!begins("vocab", saw_vocab_)) return JsonTree::start_object(size);
        list_ = List::vocab;
        return true;
    }
    bool end_object() override {
        if (list_ != List::vocab) return JsonTree::end_object();
        list_ = List::none;
        return true;
    }
    bool start_array(std::size_t size) override {
        if (list_ == List::merges) {
            list_ = List::pair;
            pair_members_ = 0;
            merges_.emplace_back();
            return true;
        }
        if (!begins("merges", saw_merges_)) return JsonTree::start_array(size);
        list_ = List::merges;
        return true;
    }
    bool end_array() override {
        if (list_ == List::none) return JsonTree::end_array();
        if (list_ == List::pair && pair_members_ != 2)
            refuse("model.merges", "pairs",
                   std::to_string(pair_members_) + " strings in merge " + std::to_string(merges_.size() - 1));
        list_ = list_ == List::pair ? List::merges : List::none;
        return true;
    }
    nlohmann::json* place(nlohmann::json&& v) override {
        if (list_ == List::vocab)
            refuse("model.vocab", "an id for every token", std::string(v.type_name()) + " for '" + key_ + "'");
        if (list_ != List::none) refuse("model.merges", "strings or pairs of strings", v.type_name());
        return JsonTree::place(std::move(v));
    }

    enum class List { none, vocab, merges, pair };
    static constexpr std::size_t most_values = std::size_t{1} << 20;  // beside vocab and merges

    explicit TokenizerSax(const std::string& file) : JsonTree(file, most_values) {}

    [[noreturn]] void refuse(const std::string& field, const std::string& expected, const std::string& found) const {
        fail("field '" + field + "': expected " + expected + ", found " + found);
    }
    /// True if the value that begins is root.model.<name>; a second one is refused.
    bool begins(const char* name, bool& seen) {
        if (list_ != List::none || stack_.size() != 2 || key_ != name || !root().is_object() ||
            !root().contains("model") || stack_.back() != &root()["model"])
            return false;
        if (seen) refuse(std::string("model.") + name, "one list", "a second");
        return seen = true;
    }
    /// "left right", the older spelling. A version line, which old files begin with, is no merge.
    bool spelled_merge(const std::string& v) {
        if (v.starts_with("#version")) return true;
        const auto space = v.find(' ');
        if (space == std::string::npos || v.find(' ', space + 1) != std::string::npos)
            refuse("model.merges", "two tokens and a space between them", "'" + v + "'");
        merges_.emplace_back(v.substr(0, space), v.substr(space + 1));
        return true;
    }
    bool pair_member(std::string& v) {
        auto& [left, right] = merges_.back();
        if (pair_members_ < 2) (pair_members_ == 0 ? left : right) = std::move(v);
        ++pair_members_;
        return true;
    }

    std::vector<std::pair<std::string, int>> vocab_;
    std::vector<std::pair<std::string, std::string>> merges_;
    List list_ = List::none;
    std::size_t pair_members_ = 0;
    bool saw_vocab_ = false, saw_merges_ = false;
};

}  // namespace qwen3vl::tokenizer
