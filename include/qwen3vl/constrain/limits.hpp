#pragma once
#include <cstddef>
#include <cstdint>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Limits of what a grammar may take. A schema from outside cannot ask for more memory or time than these allow.
struct Limits {
    std::size_t text = std::size_t{1} << 20;    ///< bytes of a schema, an expression or a grammar
    std::size_t states = std::size_t{1} << 19;  ///< of all rules
    std::size_t dfa_states = 8192;              ///< of one regular expression, or of what two have in common
    std::uint64_t work = 50'000'000;            ///< steps of one mask, or of all regular expressions; about a second
    int depth = 200;                            ///< open calls of rules: nesting of a value, about two for each level
    std::size_t configurations = std::size_t{1} << 15;  ///< kept by an automaton; twice as many are an error
};

}  // namespace qwen3vl::constrain
