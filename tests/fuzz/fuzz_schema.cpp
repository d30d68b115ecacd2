// A JSON schema, a regular expression or a grammar, and an answer under it. Input: 's', 'r' or 'g', then the text;
// behind a zero byte, numbers that choose among the allowed tokens.
#include <cstddef>
#include <cstdint>
#include <qwen3vl/constrain/constrain.hpp>
#include <string_view>

#include "constrain/small_vocabulary.hpp"

namespace {

namespace c = qwen3vl::constrain;

void require(bool holds) {
    if (!holds) __builtin_trap();
}

c::Limits small_limits() {
    c::Limits limits;
    limits.text = 4096;
    limits.states = 1 << 14;
    limits.dfa_states = 256;
    limits.work = 100'000;
    limits.configurations = 1 << 12;
    return limits;
}

c::Grammar grammar_of(char kind, std::string_view text) {
    if (kind == 'r') return c::regex(text, small_limits());
    if (kind == 'g') return c::ebnf(text, small_limits());
    return c::json_schema(text,
                          {.space = kind == 's' ? c::JsonSpace::spaced : c::JsonSpace::free, .limits = small_limits()});
}

void answer(const c::Grammar& grammar, std::string_view choices) {
    const auto& trie = small_vocabulary::trie();
    c::Matcher m(grammar, trie);
    for (const char choice : choices.substr(0, 48)) {
        const std::string forced = m.forced_bytes();
        const auto mask = m.mask();
        int chosen = -1, seen = 0;
        for (int t = 0; t < trie->vocab_size(); ++t) {
            if (!small_vocabulary::bit(mask, t)) continue;
            require(m.allows(t));
            const auto bytes = trie->bytes(t);
            require(bytes.substr(0, forced.size()) == forced.substr(0, bytes.size()));
            if (chosen < 0 || seen <= static_cast<unsigned char>(choice)) chosen = t;
            ++seen;
        }
        require(seen > 0 || m.complete());
        require(m.finished() == (seen == 0));
        if (seen == 0) return;
        m.accept(chosen);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2 || size > 8 * 1024) return 0;
    const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
    const auto zero = std::min(input.find('\0'), input.size());
    try {
        answer(grammar_of(static_cast<char>(data[0]), input.substr(0, zero)),
               zero < input.size() ? input.substr(zero + 1) : std::string_view("abcdefghijklmnop"));
    } catch (const qwen3vl::GrammarError&) {
    }
    return 0;
}
