// Masks of answers under JSON schemas: microseconds a token, and from the schema's text to the first mask. Each answer
// is followed token by token as the tokenizer cuts it, with grammars that were not seen before ("cold") and again
// ("warm").
//     bench_constrain [TOKENIZER.json] [CASES.jsonl] [--json FILE]
#include <algorithm>
#include <bit>
#include <chrono>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <qwen3vl/constrain/constrain.hpp>
#include <qwen3vl/tokenizer/tokenizer_json.hpp>
#include <string>
#include <vector>

namespace {
namespace q = qwen3vl;
namespace c = q::constrain;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

struct Figures {
    std::vector<double> values;
    double at(double share) {
        if (values.empty()) return 0;
        std::sort(values.begin(), values.end());
        return values[std::min(values.size() - 1,
                               static_cast<std::size_t>(share * static_cast<double>(values.size())))];
    }
    double mean() const {
        double sum = 0;
        for (const double v : values) sum += v;
        return values.empty() ? 0 : sum / static_cast<double>(values.size());
    }
    Json row() { return {{"n", values.size()}, {"mean", mean()}, {"p50", at(0.5)}, {"p99", at(0.99)}, {"max", at(1)}}; }
};

/// JSON with ", " and ": " between things, as Python's json.dumps(..., ensure_ascii=False).
std::string spaced(const Json& v) {
    if (!v.is_structured()) return v.dump();
    std::string out;
    for (const auto& [key, value] : v.items()) {
        if (!out.empty()) out += ", ";
        if (v.is_object()) out += Json(key).dump() + ": ";
        out += spaced(value);
    }
    return v.is_object() ? "{" + out + "}" : "[" + out + "]";
}

}  // namespace

int main(int argc, char** argv) try {
    std::string tokenizer_file = QWEN3VL_TEST_DATA "/tokenizer-qwen3/tokenizer.json", cases_file = QWEN3VL_CASES,
                json_file;
    std::vector<std::string> files;
    for (int i = 1; i < argc; ++i) {
        if (std::string(argv[i]) == "--json" && i + 1 < argc)
            json_file = argv[++i];
        else
            files.emplace_back(argv[i]);
    }
    if (!files.empty()) tokenizer_file = files[0];
    if (files.size() > 1) cases_file = files[1];
    const auto tokenizer = q::tokenizer::Tokenizer::open(tokenizer_file);
    auto begin = Clock::now();
    const auto trie = std::make_shared<const c::TokenTrie>(tokenizer);
    std::cout << "trie of " << trie->vocab_size() << " tokens: " << microseconds_since(begin) / 1000 << " ms\n";

    Figures first, compile, cold, warm, forced_share;
    std::ifstream lines(cases_file);
    int wrong = 0;
    std::size_t tokens_in_all = 0, forced_in_all = 0;
    for (std::string line; std::getline(lines, line);) {
        const Json test = Json::parse(line);
        const std::string schema = test["schema"].dump();
        Figures own;
        for (const auto& answer : test["answers"]) {
            const auto ids = tokenizer.encode(spaced(answer));
            const std::vector<int> ends{tokenizer.added_token_id("<|im_end|>").value_or(-1)};
            begin = Clock::now();
            const auto grammar = c::json_schema(schema);
            compile.values.push_back(microseconds_since(begin));
            for (const bool again : {false, true}) {
                c::Matcher m(grammar, trie);
                std::size_t forced_until = 0;
                for (std::size_t i = 0; i < ids.size(); ++i) {
                    const auto from = Clock::now();
                    const auto mask = m.mask(ends);
                    const double took = microseconds_since(from);
                    if (i == 0 && !again) first.values.push_back(microseconds_since(begin));
                    (again ? warm : cold).values.push_back(took);
                    if (!again) own.values.push_back(took);
                    const auto id = static_cast<std::size_t>(ids[i]);
                    if (!(mask[id / 64] >> (id % 64) & 1)) {
                        ++wrong;
                        std::cout << test["name"] << ": refuses token " << i << ", '" << tokenizer.token_bytes(ids[i])
                                  << "'\n";
                        break;
                    }
                    if (!again && i >= forced_until) forced_until = i + m.forced_tokens(tokenizer).size();
                    if (!again) {
                        ++tokens_in_all;
                        forced_in_all += i < forced_until;
                    }
                    m.accept(ids[i]);
                }
                if (!m.complete()) ++wrong;
            }
        }
        std::cout << test["name"].get<std::string>() << ": p50 " << own.at(0.5) << " p99 " << own.at(0.99) << " mean "
                  << own.mean() << " us, " << own.values.size() << " tokens\n";
    }
    const Json out{{"first_mask_us", first.row()},
                   {"compile_us", compile.row()},
                   {"cold_us", cold.row()},
                   {"warm_us", warm.row()},
                   {"wrong", wrong},
                   {"tokens", tokens_in_all},
                   {"forced", forced_in_all}};
    std::cout << out.dump(2) << "\n";
    if (!json_file.empty()) std::ofstream(json_file) << out.dump(2) << "\n";
    return wrong == 0 ? 0 : 1;
} catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 2;
}
