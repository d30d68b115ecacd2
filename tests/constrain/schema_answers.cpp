// Answers random logits under each JSON schema of a file, one a line, and prints the answers as JSON lines. What checks
// them is check_random_schemas.py.
//     schema_answers TOKENIZER.json SCHEMAS.jsonl [ANSWERS_A_SCHEMA] [SEED] [TEMPERATURE]
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <qwen3vl/chat/sampler.hpp>
#include <qwen3vl/constrain/constrain.hpp>
#include <qwen3vl/tokenizer/tokenizer_json.hpp>
#include <random>
#include <string>
#include <vector>

namespace {
namespace q = qwen3vl;
namespace c = q::constrain;
using Json = nlohmann::json;

constexpr int longest = 300;  // tokens, from where on what closes a value is likely

/// Logits as no model has them: normal, with a bonus for ends and for what closes, which grows.
class RandomLogits {
  public:
    RandomLogits(const q::tokenizer::Tokenizer& tokenizer, std::uint64_t seed) : random_(seed), tokenizer_(tokenizer) {
        for (int t = 0; t < tokenizer.vocab_size(); ++t) {
            if (!tokenizer.has_token(t)) continue;
            const auto bytes = tokenizer.token_bytes(t);
            if (bytes.find_first_not_of("\"}]") == std::string_view::npos || bytes == "<|im_end|>" || bytes == "null")
                closing_.push_back(t);
        }
        noise_.resize(65536);
        std::normal_distribution<float> normal(0.0f, 4.0f);
        for (float& x : noise_) x = normal(random_);
    }
    const std::vector<float>& next(int step) {
        logits_.resize(static_cast<std::size_t>(tokenizer_.vocab_size()));
        const std::size_t shift = random_();
        for (std::size_t i = 0; i < logits_.size(); ++i) logits_[i] = noise_[(i * 7919 + shift) % noise_.size()];
        for (const int t : closing_) logits_[static_cast<std::size_t>(t)] += step > longest ? 60.0f : 12.0f;
        return logits_;
    }

  private:
    std::mt19937_64 random_;
    const q::tokenizer::Tokenizer& tokenizer_;
    std::vector<int> closing_;
    std::vector<float> noise_, logits_;
};

}  // namespace

int main(int argc, char** argv) try {
    if (argc < 3) {
        std::cerr << "usage: schema_answers TOKENIZER.json SCHEMAS.jsonl [ANSWERS_A_SCHEMA] [SEED] [TEMPERATURE]\n";
        return 2;
    }
    const auto tokenizer = q::tokenizer::Tokenizer::open(argv[1]);
    const auto trie = std::make_shared<const c::TokenTrie>(tokenizer);
    const int answers = argc > 3 ? std::stoi(argv[3]) : 3;
    const std::uint64_t seed = argc > 4 ? std::stoull(argv[4]) : 1;
    const double temperature = argc > 5 ? std::stod(argv[5]) : 2.0;
    const std::vector<int> ends{tokenizer.added_token_id("<|im_end|>").value()};
    RandomLogits logits(tokenizer, seed);
    std::ifstream file(argv[2]);
    int number = 0;
    for (std::string line; std::getline(file, line); ++number) {
        c::Grammar grammar;
        try {
            grammar = c::json_schema(line, {.space = number % 3 == 2 ? c::JsonSpace::free : c::JsonSpace::spaced});
        } catch (const q::GrammarError& e) {
            std::cout << Json{{"schema", number}, {"refused", e.what()}}.dump() << "\n";
            continue;
        }
        for (int i = 0; i < answers; ++i) {
            c::Matcher m(grammar, trie);
            q::Sampler sampler({.temperature = temperature, .top_k = 200, .seed = seed + static_cast<std::uint64_t>(i)},
                               tokenizer.vocab_size());
            std::vector<int> tokens;
            bool ended = false;
            for (int step = 0; step < 4 * longest && !(ended = m.finished()); ++step) {
                const int token = sampler.next(logits.next(step), tokens, {}, m.mask(ends));
                if ((ended = token == ends[0])) break;
                m.accept(token);
                tokens.push_back(token);
                for (const int forced : m.forced_tokens(tokenizer)) {
                    m.accept(forced);
                    tokens.push_back(forced);
                }
            }
            std::cout << Json{{"schema", number}, {"ended", ended}, {"answer", tokenizer.decode(tokens)}}.dump()
                      << "\n";
        }
    }
} catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 2;
}
