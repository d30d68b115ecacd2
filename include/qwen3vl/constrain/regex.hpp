#pragma once
#include <array>
#include <qwen3vl/constrain/matcher.hpp>
#include <qwen3vl/constrain/regex_dfa.hpp>
#include <qwen3vl/constrain/text_rules.hpp>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// All bytes.
constexpr std::array<bool, 256> all_bytes() {
    std::array<bool, 256> all{};
    all.fill(true);
    return all;
}

/// Answers that match a regular expression as a whole; RegexSyntax tells which. Throws GrammarError, with the byte,
/// where it is malformed, not supported or larger than the limits.
Grammar regex(std::string_view pattern, const Limits& limits = {});

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Grammar regex(std::string_view pattern, const Limits& limits) {
    if (pattern.size() > limits.text)
        throw GrammarError("regex: " + std::to_string(pattern.size()) + " bytes, at most " +
                           std::to_string(limits.text) + " are read");
    Rules rules(limits);
    const State start = rules.add_state(), end = rules.add_state(true);
    std::uint64_t work = limits.work;
    TextRules(rules).strings(start,
                             RegexDfa::compile(pattern, RegexDfa::Match::whole, limits.dfa_states, "regex", work),
                             TextRules::Spelling::plain, end);
    rules.finish(start, all_bytes());
    return Grammar(std::move(rules));
}

#endif

}  // namespace qwen3vl::constrain
