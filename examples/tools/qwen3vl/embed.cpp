// qwen3vl embed: the vector of each text and picture, as lines of JSON.
#include <cstdio>
#include <memory>

#include "commands.hpp"
#include "embedding_options.hpp"

namespace commands::embed {
namespace q = qwen3vl;

struct Options {
    std::vector<std::string> words;
    std::string instruction;
    bool together = false;
    EmbeddingOptions embedding;
};

int run(const Options& o) {
    std::vector<q::EmbedInput> inputs;
    for (const auto& word : o.words) {
        q::Input input = picture_or_text(word);
        if (o.together && !inputs.empty())
            inputs.front().content.push_back(std::move(input));
        else
            inputs.push_back({{std::move(input)}, o.instruction});
    }
    ProgressBar bar;
    catch_interrupt();
    const auto embedder = o.embedding.open(bar);
    const auto vectors = embedder->embed(inputs);
    for (std::size_t i = 0; i < vectors.size(); ++i) {
        nlohmann::ordered_json line;
        if (o.together)
            line["input"] = o.words;
        else
            line["input"] = o.words[i];
        line["embedding"] = vectors[i];
        std::printf("%s\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    }
    return 0;
}

void add(CLI::App& app, int& exit_code) {
    auto options = std::make_shared<Options>();
    auto* sub = app.add_subcommand("embed", "Prints the vectors of texts and pictures (Qwen3-VL-Embedding)");
    sub->footer(
        "Examples:\n"
        "  qwen3vl embed street.jpg \"a street at night\" --model Qwen3-VL-Embedding-2B\n"
        "  qwen3vl embed street.jpg \"its caption\" --together --dimensions 512 --model DIR");
    sub->add_option("INPUT", options->words, "pictures, where a file of that name is there, and texts")->required();
    sub->add_flag("--together", options->together, "one vector of everything");
    sub->add_option("--instruction", options->instruction, "the task, as \"Represent the user's input.\"");
    options->embedding.add_to(*sub);
    sub->callback([options, &exit_code] { exit_code = guarded("embed", [&] { return run(*options); }); });
}

}  // namespace commands::embed
