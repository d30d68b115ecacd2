// qwen3vl tokenize: shows how a text is cut into tokens, or checks a tokenizer against a file of known cases.
#include "commands.hpp"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <iostream>
#include <memory>
#include <qwen3vl/checkpoint/checkpoint.hpp>
#include <qwen3vl/checkpoint/gguf_tokenizer.hpp>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/tokenizer/tokenizer_json.hpp>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace commands::tokenize {

using nlohmann::json;
using qwen3vl::tokenizer::Tokenizer;

struct Options {
    std::string text, model, tokenizer, cases;
    bool special = false, as_json = false;
};

/// JSON on one line; a piece of a character is shown as U+FFFD.
std::string print(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

void show(const Tokenizer& tokenizer, const Options& options) {
    const auto ids = tokenizer.encode(options.text, {.parse_special = options.special});
    if (options.as_json) {
        json pieces = json::array();
        for (const int id : ids) pieces.push_back(std::string(tokenizer.token_bytes(id)));
        std::cout << print({{"ids", ids}, {"pieces", pieces}}) << '\n';
        return;
    }
    for (const int id : ids) std::cout << id << '\t' << print(std::string(tokenizer.token_bytes(id))) << '\n';
    std::cout << ids.size() << " tokens\n";
}

/// Where two lists of ids part: the place and a few ids on from there.
std::string difference(const std::vector<int>& expected, const std::vector<int>& found) {
    const auto [e, f] = std::mismatch(expected.begin(), expected.end(), found.begin(), found.end());
    const auto some = [](auto from, auto end) {
        return print(std::vector<int>(from, from + std::min<std::ptrdiff_t>(5, end - from)));
    };
    return "at token " + std::to_string(e - expected.begin()) + ": expected " + some(e, expected.end()) + ", found " +
           some(f, found.end());
}

/// Compares with a file of `[{"text": …, "ids": […]}]` made by the reference. Returns the number of unequal cases.
std::size_t check(const Tokenizer& tokenizer, const Options& options) {
    constexpr std::size_t shown = 5;
    const json cases = json::parse(qwen3vl::read_file(options.cases));
    if (!cases.is_array() || cases.empty()) throw qwen3vl::TokenizerError(options.cases + ": expected a list of cases");
    std::size_t unequal = 0;
    json differences = json::array();
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const auto text = cases[i].at("text").get<std::string>();
        const auto expected = cases[i].at("ids").get<std::vector<int>>();
        const auto found = tokenizer.encode(text, {.parse_special = true});
        if (found == expected) continue;
        if (++unequal <= shown)
            differences.push_back({{"case", i}, {"text", text}, {"difference", difference(expected, found)}});
    }
    if (options.as_json) {
        std::cout << print({{"equal", cases.size() - unequal}, {"unequal", unequal}, {"differences", differences}})
                  << '\n';
        return unequal;
    }
    for (const auto& d : differences)
        std::cout << "case " << d["case"] << ": " << print(d["text"]) << "\n  " << d["difference"].get<std::string>()
                  << '\n';
    std::cout << cases.size() - unequal << " equal, " << unequal << " unequal\n";
    return unequal;
}

/// The tokenizer of a tokenizer.json, of a checkpoint's folder, or of a GGUF file.
Tokenizer open(const Options& options) {
    if (!options.tokenizer.empty()) return Tokenizer::open(options.tokenizer);
    if (!qwen3vl::checkpoint::GgufCheckpoint::is_path(options.model)) {
        qwen3vl::checkpoint::require_folder(options.model);
        return Tokenizer::open(options.model + "/tokenizer.json");
    }
    auto tokenizer =
        qwen3vl::checkpoint::GgufTokenizer::read(qwen3vl::checkpoint::GgufFile::open(options.model).metadata());
    if (!tokenizer)
        throw qwen3vl::TokenizerError(options.model + ": expected a tokenizer, found no key tokenizer.ggml.model");
    return std::move(*tokenizer);
}

int run(const Options& options) {
    try {
        const Tokenizer tokenizer = open(options);
        if (!options.cases.empty()) return check(tokenizer, options) == 0 ? 0 : 1;
        show(tokenizer, options);
        return 0;
    } catch (const json::exception& e) {
        std::cerr << options.cases << ": " << e.what() << '\n';
    } catch (const std::exception& e) {
        std::cerr << e.what() << '\n';
    }
    return 2;
}

void add(CLI::App& app, int& exit_code) {
    auto* command =
        app.add_subcommand("tokenize", "Show how a text is cut into tokens, or check a tokenizer against known cases");
    command->footer(
        "Examples:\n"
        "  qwen3vl tokenize \"What does the sign say?\" --model Qwen3-VL-2B-Instruct\n"
        "  qwen3vl tokenize --tokenizer tokenizer.json --cases cases.json");
    const auto options = std::make_shared<Options>();
    auto* text = command->add_option("TEXT", options->text, "The text");
    auto* model = command
                      ->add_option("--model", options->model,
                                   "A checkpoint's folder, whose tokenizer.json is taken, or a .gguf file")
                      ->check(CLI::ExistingPath);
    auto* tokenizer =
        command->add_option("--tokenizer", options->tokenizer, "A tokenizer.json")->check(CLI::ExistingFile);
    auto* cases =
        command->add_option("--cases", options->cases,
                            "Compare with the reference's ids in this file: [{\"text\": \"…\", \"ids\": […]}, …]");
    model->excludes(tokenizer);
    cases->check(CLI::ExistingFile)->excludes(text);
    command->add_flag("--special", options->special,
                      "Take \"<|im_end|>\" and other added tokens in the text as tokens, as the reference does");
    command->add_flag("--json", options->as_json, "Print JSON");
    command->callback([=, &exit_code] {
        if (model->empty() && tokenizer->empty()) throw CLI::RequiredError("--model or --tokenizer");
        if (text->empty() && cases->empty()) throw CLI::RequiredError("TEXT or --cases");
        exit_code = run(*options);
    });
}

}  // namespace commands::tokenize
