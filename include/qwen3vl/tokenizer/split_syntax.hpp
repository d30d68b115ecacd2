#pragma once
#include <cstddef>
#include <qwen3vl/core/error.hpp>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Translates a tokenizer's regular expression from Oniguruma's syntax (https://github.com/kkos/oniguruma, doc/RE; what
/// the reference uses) to PCRE2's.
///
/// The two agree on most of what tokenizers use; `\s` is rewritten, since PCRE2 counts U+180E as a space and Unicode
/// does not. Constructs that mean different things in the two are refused with a TokenizerError: tokens must never
/// differ in silence. Such are `\h`, `\w`, class intersections and inline flags.
class SplitSyntax {
  public:
    /// The PCRE2 form of `pattern` for PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE. `where` names file and field in errors.
    static std::string to_pcre2(std::string_view pattern, const std::string& where) {
        return SplitSyntax(pattern, where).translate();
    }

  private:
    SplitSyntax(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

    std::string translate() {
        while (at_ < in_.size()) {
            switch (in_[at_]) {
                case '\\': escape(); break;
                case '[': open_class(); break;
                case '(': open_group(); break;
                case '{': interval(); break;
                default: copy(1);
            }
        }
        return std::move(out_);
    }

    [[noreturn]] void refuse(std::string_view what, std::string_view why) const {
        throw TokenizerError(where_ + ": regular expression: '" + std::string(what) + "' at byte " +
                             std::to_string(at_) + " " + std::string(why));
    }
    void copy(std::size_t n) {
        out_.append(in_, at_, n);
        at_ += n;
    }
    bool ahead(std::string_view s) const { return in_.substr(at_).starts_with(s); }

    void escape() {
        const char c = at_ + 1 < in_.size() ? in_[at_ + 1] : '\0';
        switch (c) {
            case 's': return replace("\\p{White_Space}");
            case 'S': return replace("\\P{White_Space}");
            case 'p':
            case 'P': {
                const auto end = in_.substr(at_ + 2).starts_with('{') ? in_.find('}', at_) : std::string_view::npos;
                if (end == std::string_view::npos) refuse(in_.substr(at_, 3), "needs a property in braces");
                return copy(end + 1 - at_);
            }
            case 'd':
            case 'D':
            case 'r':
            case 'n':
            case 't':
            case 'f': return copy(2);
            case 'x': {
                if (!in_.substr(at_ + 2).starts_with('{')) refuse("\\x", "needs a code point in braces");
                const auto end = in_.find('}', at_);
                if (end == std::string_view::npos) refuse("\\x{", "has no end");
                return copy(end + 1 - at_);
            }
            default: break;
        }
        if (at_ + 1 >= in_.size()) refuse("\\", "stands at the end");
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
            refuse(in_.substr(at_, 2), "is not supported");
        copy(2);
    }
    void replace(std::string_view text) {
        out_ += text;
        at_ += 2;
    }

    void open_class() {
        copy(1);
        if (ahead("^")) copy(1);
        if (ahead("]")) refuse("]", "as the first of a class is not supported; write \\]");
        while (at_ < in_.size() && in_[at_] != ']') {
            if (in_[at_] == '\\') {
                escape();
            } else if (in_[at_] == '[') {
                refuse("[", "inside a class is not supported; write \\[ for the character");
            } else if (ahead("&&")) {
                refuse("&&", "inside a class is not supported");
            } else {
                copy(1);
            }
        }
        if (at_ < in_.size()) copy(1);
    }

    void open_group() {
        if (ahead("(*")) refuse("(*", "is not supported");
        if (!ahead("(?")) return copy(1);
        for (const std::string_view kind : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:"}) {
            if (ahead(kind)) return copy(kind.size());
        }
        refuse(in_.substr(at_, 4), "is not a supported kind of group");
    }

    /// {n}, {n,} or {n,m}; anything else after '{' reads differently in the two syntaxes, and so does a second
    /// quantifier after '}'.
    void interval() {
        const std::size_t begin = at_;
        const auto digits = [&] {
            const std::size_t from = at_;
            while (at_ < in_.size() && in_[at_] >= '0' && in_[at_] <= '9') copy(1);
            return at_ - from;
        };
        copy(1);
        const bool counted = digits() > 0;
        if (ahead(",")) {
            copy(1);
            digits();
        }
        if (!counted || !ahead("}"))
            refuse(in_.substr(begin, at_ - begin + 1), "is not an interval; write \\{ for the character");
        copy(1);
        if (ahead("?") || ahead("+") || ahead("*"))
            refuse(in_.substr(begin, at_ - begin + 1), "is not supported: a quantifier after an interval");
    }

    std::string_view in_;
    const std::string& where_;
    std::size_t at_ = 0;
    std::string out_;
};

}  // namespace qwen3vl::tokenizer
