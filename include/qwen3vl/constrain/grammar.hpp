#pragma once
#include <memory>
#include <qwen3vl/constrain/guide.hpp>
#include <utility>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

class Rules;

/// A language of answers: a JSON schema, a regular expression or a grammar, made ready by json_schema(), regex() or
/// ebnf(). A default one allows everything. Cheap to copy; threads may share one. What is found out about a vocabulary
/// is kept with it, so that the next answer begins with it.
class Grammar {
  public:
    /// Allows everything.
    Grammar() = default;
    /// The rules must be finished. Defined in constrain/matcher.hpp.
    explicit Grammar(Rules rules);

    /// False if it allows everything.
    explicit operator bool() const { return shared_ != nullptr; }
    /// A new answer; of a grammar that does not allow everything. `vocabulary`: of the tokenizer, nullptr: made anew.
    /// Throws GrammarError as Matcher.
    Guide guide(const tokenizer::Tokenizer& tokenizer, const LazyTokenTrie* vocabulary) const {
        return make_guide_(*this, tokenizer, vocabulary);
    }

  private:
    friend class Matcher;
    class Shared;
    using MakeGuide = Guide (*)(const Grammar&, const tokenizer::Tokenizer&, const LazyTokenTrie*);

    std::shared_ptr<Shared> shared_;
    MakeGuide make_guide_ = nullptr;
};

}  // namespace qwen3vl::constrain
