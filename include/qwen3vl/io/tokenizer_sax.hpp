#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::io {

/// Reads the JSON of a tokenizer.json in one pass. The two long lists, model.vocab and model.merges, go straight into vectors; the rest, which is short,
/// becomes a tree. The member functions below `read` are the events of nlohmann's SAX parser.
class TokenizerSax {
  public:
    using json = nlohmann::json;
    struct Contents {
        json rest;                                                ///< the file without model.vocab and model.merges
        std::vector<std::pair<std::string, int>> vocab;           ///< spelling and id, in the file's order
        std::vector<std::pair<std::string, std::string>> merges;  ///< spellings, in order of rank
    };

    /// Throws TokenizerError where the text is no JSON, a list is missing or has members of a wrong kind, a member is there twice, or the nesting is deep.
    static Contents read(std::string_view text, const std::string& file) {
        TokenizerSax reader(file);
        json::sax_parse(text.begin(), text.end(), &reader);
        if (!reader.saw_vocab_) reader.refuse("model.vocab", "an object", "none");
        if (!reader.saw_merges_) reader.refuse("model.merges", "an array", "none");
        return std::move(reader.contents_);
    }

    bool null() { return value(nullptr); }
    bool boolean(bool v) { return value(v); }
    bool number_integer(json::number_integer_t v) { return value(v); }
    bool number_unsigned(json::number_unsigned_t v) {
        if (list_ != List::vocab) return value(v);
        if (v > std::numeric_limits<int>::max()) refuse("model.vocab", "ids that fit 31 bits", std::to_string(v) + " for '" + key_ + "'");
        contents_.vocab.emplace_back(std::move(key_), static_cast<int>(v));
        return true;
    }
    bool number_float(json::number_float_t v, const std::string&) { return value(v); }
    bool string(std::string& v) {
        if (list_ == List::merges) return spelled_merge(v);
        if (list_ == List::pair) return pair_member(v);
        return value(std::move(v));
    }
    bool binary(json::binary_t&) { return value("binary"); }
    bool start_object(std::size_t) {
        if (list_ == List::none && in_model("vocab", saw_vocab_))
            list_ = List::vocab;
        else
            open(json::object());
        return true;
    }
    bool key(std::string& v) {
        key_ = std::move(v);
        return true;
    }
    bool end_object() {
        if (list_ == List::vocab)
            list_ = List::none;
        else
            stack_.pop_back();
        return true;
    }
    bool start_array(std::size_t) {
        if (list_ == List::merges) {
            list_ = List::pair;
            pair_members_ = 0;
            contents_.merges.emplace_back();
        } else if (list_ == List::none && in_model("merges", saw_merges_)) {
            list_ = List::merges;
        } else {
            open(json::array());
        }
        return true;
    }
    bool end_array() {
        if (list_ == List::pair) {
            if (pair_members_ != 2)
                refuse("model.merges", "pairs", std::to_string(pair_members_) + " strings in merge " + std::to_string(contents_.merges.size() - 1));
            list_ = List::merges;
        } else if (list_ == List::merges) {
            list_ = List::none;
        } else {
            stack_.pop_back();
        }
        return true;
    }
    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) { throw TokenizerError(file_ + ": not valid JSON: " + e.what()); }

  private:
    enum class List { none, vocab, merges, pair };
    static constexpr std::size_t deepest = 64, most_values = std::size_t{1} << 20;

    explicit TokenizerSax(const std::string& file) : file_(file) {}

    [[noreturn]] void refuse(const std::string& field, const std::string& expected, const std::string& found) const {
        throw TokenizerError(file_ + ": field '" + field + "': expected " + expected + ", found " + found);
    }
    /// Whether the value that begins is root.model.<name>; a second one is refused.
    bool in_model(const char* name, bool& seen) const {
        if (stack_.size() != 2 || key_ != name || !contents_.rest.is_object() || !contents_.rest.contains("model") || stack_.back() != &contents_.rest["model"])
            return false;
        if (seen) refuse(std::string("model.") + name, "one list", "a second");
        return seen = true;
    }
    bool value(json v) {
        place(std::move(v));
        return true;
    }
    void open(json v) {
        if (stack_.size() == deepest) throw TokenizerError(file_ + ": nested deeper than " + std::to_string(deepest));
        stack_.push_back(place(std::move(v)));
    }
    json* place(json v) {
        if (list_ == List::vocab) refuse("model.vocab", "an id for every token", std::string(v.type_name()) + " for '" + key_ + "'");
        if (list_ != List::none) refuse("model.merges", "strings or pairs of strings", v.type_name());
        if (++values_ > most_values) throw TokenizerError(file_ + ": more than " + std::to_string(most_values) + " values beside vocab and merges");
        if (stack_.empty()) return &(contents_.rest = std::move(v));
        json& parent = *stack_.back();
        if (parent.is_array()) {
            parent.push_back(std::move(v));
            return &parent.back();
        }
        const auto [place, is_new] = parent.emplace(key_, std::move(v));
        if (!is_new) throw TokenizerError(file_ + ": field '" + key_ + "' is there twice");
        return &*place;
    }
    /// "left right", the older spelling. A version line, which old files begin with, is no merge.
    bool spelled_merge(const std::string& v) {
        if (v.starts_with("#version")) return true;
        const auto space = v.find(' ');
        if (space == std::string::npos || v.find(' ', space + 1) != std::string::npos)
            refuse("model.merges", "two tokens and a space between them", "'" + v + "'");
        contents_.merges.emplace_back(v.substr(0, space), v.substr(space + 1));
        return true;
    }
    bool pair_member(std::string& v) {
        auto& [left, right] = contents_.merges.back();
        if (pair_members_ < 2) (pair_members_ == 0 ? left : right) = std::move(v);
        ++pair_members_;
        return true;
    }

    const std::string& file_;
    Contents contents_;
    std::vector<json*> stack_;  // the open objects and arrays; a parent does not grow while its child is open
    std::string key_;
    List list_ = List::none;
    std::size_t values_ = 0, pair_members_ = 0;
    bool saw_vocab_ = false, saw_merges_ = false;
};

}  // namespace qwen3vl::io
