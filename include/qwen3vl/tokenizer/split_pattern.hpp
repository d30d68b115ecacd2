#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/tokenizer/split_syntax.hpp>
#include <qwen3vl/tokenizer/utf8.hpp>
#include <string>
#include <string_view>

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Scratch memory of a match beside the pattern. One for each thread, or each call: it is cheap.
class SplitScratch {
  public:
    SplitScratch()
        : data_(pcre2_match_data_create_8(1, nullptr)),
          context_(pcre2_match_context_create_8(nullptr)),
          stack_(pcre2_jit_stack_create_8(stack_start, stack_limit, nullptr)) {
        if (!data_ || !context_) throw TokenizerError("PCRE2: cannot allocate what matching needs");
        if (stack_) pcre2_jit_stack_assign_8(context_.get(), nullptr, stack_.get());
        pcre2_set_heap_limit_8(context_.get(), heap_limit_kib);
    }
    /// Memory for PCRE2's matches.
    pcre2_match_data_8* data() const { return data_.get(); }
    /// Limits of a match: stack and heap.
    pcre2_match_context_8* context() const { return context_.get(); }

  private:
    static constexpr std::size_t stack_start = 32 * 1024,
                                 stack_limit = 4 * 1024 * 1024;  // bytes, where the pattern is compiled to machine code
    static constexpr std::uint32_t heap_limit_kib = 64 * 1024;   // where it is interpreted
    struct Free {
        void operator()(pcre2_match_data_8* p) const { pcre2_match_data_free_8(p); }
        void operator()(pcre2_match_context_8* p) const { pcre2_match_context_free_8(p); }
        void operator()(pcre2_jit_stack_8* p) const { pcre2_jit_stack_free_8(p); }
    };
    std::unique_ptr<pcre2_match_data_8, Free> data_;
    std::unique_ptr<pcre2_match_context_8, Free> context_;
    std::unique_ptr<pcre2_jit_stack_8, Free> stack_;
};

/// A regular expression that cuts a text into pieces: every match and every stretch between two matches is a piece (the
/// reference's behaviour "Isolated"). Compiled to machine code where PCRE2 can, else interpreted. Immutable, so threads
/// may share it, each with its own SplitScratch.
class SplitPattern {
  public:
    /// Compiles an expression in the reference's syntax (see SplitSyntax). `where` names file and field in errors.
    /// Throws TokenizerError.
    static SplitPattern regex(std::string_view pattern, const std::string& where) {
        return SplitPattern(SplitSyntax::to_pcre2(pattern, where),
                            PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, where);
    }
    /// Compiles a string that stands for itself.
    static SplitPattern literal(std::string_view text, const std::string& where) {
        return SplitPattern(text, PCRE2_LITERAL, where);
    }

    /// Calls `piece(std::string_view)` for each non-empty piece of `text` (valid UTF-8), in order. Throws
    /// TokenizerError where the pattern takes more steps than `steps_per_byte` allow for the text; it never cuts
    /// differently.
    template <class Piece>
    void for_each_piece(std::string_view text, SplitScratch& scratch, const Piece& piece) const {
        std::uint64_t budget = steps_free + steps_per_byte * text.size();
        std::size_t done = 0;  // the text before here is handed on
        for (std::size_t at = 0; at < text.size();) {
            std::size_t end = at;
            const bool found = match(text, at, scratch, budget, end);
            if (found) {
                if (at > done) piece(text.substr(done, at - done));
                if (end > at) piece(text.substr(at, end - at));
                done = end;
            }
            if (end > at)
                at = end;
            else
                next_code_point(text, at);  // no match here, or an empty one
        }
        if (done < text.size()) piece(text.substr(done));
    }

  private:
    // PCRE2 counts steps (roughly: backtracks) for each place where a match may begin and gives up at a limit. Every
    // place has `steps_first`; one that needs more is tried again with twice as many. These come out of a budget for
    // the whole text. So a long run of spaces may backtrack over its whole length, but what backtracking costs in total
    // stays linear. PCRE2 does not count plain scanning: a hostile pattern that looks ahead over the whole text at
    // every character stays quadratic. Qwen's does not.
    static constexpr std::uint32_t steps_first = 10'000;
    static constexpr std::uint64_t steps_free = 1'000'000, steps_per_byte = 64;
    static constexpr std::size_t longest_pattern = 64 * 1024;

    SplitPattern(std::string_view pattern, std::uint32_t options, const std::string& where) : where_(where) {
        if (pattern.size() > longest_pattern)
            throw TokenizerError(where + ": regular expression: " + std::to_string(pattern.size()) +
                                 " bytes, at most " + std::to_string(longest_pattern));
        std::unique_ptr<pcre2_compile_context_8, FreeContext> context(pcre2_compile_context_create_8(nullptr));
        if (!context) throw TokenizerError("PCRE2: cannot allocate what compiling needs");
        pcre2_set_newline_8(context.get(), PCRE2_NEWLINE_LF);
        int error = 0;
        std::size_t offset = 0;
        const auto* units = reinterpret_cast<PCRE2_SPTR8>(pattern.data());
        options |= PCRE2_UTF | PCRE2_ANCHORED |
                   PCRE2_NO_START_OPTIMIZE;  // each place is tried for itself, none is scanned ahead of its turn
        code_.reset(pcre2_compile_8(units, pattern.size(), options, &error, &offset, context.get()));
        if (!code_)
            throw TokenizerError(where + ": regular expression: " + message(error) + " at byte " +
                                 std::to_string(offset));
        pcre2_jit_compile_8(code_.get(), PCRE2_JIT_COMPLETE);  // where this fails, pcre2_match interprets
    }

    /// True if the pattern matches at `at`; `end` is then the end of the match. Takes steps out of the budget.
    bool match(std::string_view text, std::size_t at, SplitScratch& scratch, std::uint64_t& budget,
               std::size_t& end) const {
        std::uint64_t steps = steps_first;
        for (;;) {
            pcre2_set_match_limit_8(scratch.context(), static_cast<std::uint32_t>(steps));
            const auto* units = reinterpret_cast<PCRE2_SPTR8>(text.data());
            const int rc = pcre2_match_8(code_.get(), units, text.size(), at, PCRE2_NO_UTF_CHECK, scratch.data(),
                                         scratch.context());
            if (rc == PCRE2_ERROR_NOMATCH) return false;
            if (rc >= 0) {
                end = pcre2_get_ovector_pointer_8(scratch.data())[1];
                return true;
            }
            steps *= 2;
            if (rc != PCRE2_ERROR_MATCHLIMIT || steps > budget || steps > UINT32_MAX) {
                throw TokenizerError(where_ + ": regular expression: cannot split a text of " +
                                     std::to_string(text.size()) + " bytes: " + message(rc));
            }
            budget -= steps;
        }
    }
    static std::string message(int error) {
        std::array<PCRE2_UCHAR8, 256> text{};
        pcre2_get_error_message_8(error, text.data(), text.size());
        return reinterpret_cast<const char*>(text.data());
    }

    struct FreeContext {
        void operator()(pcre2_compile_context_8* p) const { pcre2_compile_context_free_8(p); }
    };
    struct FreeCode {
        void operator()(pcre2_code_8* p) const { pcre2_code_free_8(p); }
    };
    std::unique_ptr<pcre2_code_8, FreeCode> code_;
    std::string where_;
};

}  // namespace qwen3vl::tokenizer
