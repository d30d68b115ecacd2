#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "any_chat.hpp"
#include "model_options.hpp"
#include "terminal.hpp"

/// The options of commands that embed texts and pictures.
struct EmbeddingOptions {
    int dimensions = 0;
    ModelOptions model;

    void add_to(CLI::App& sub) {
        sub.add_option("--dimensions", dimensions, "numbers of a vector; 0: all")
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str();
        model.add_model_to(sub);
    }
    std::unique_ptr<AnyEmbedder> open(ProgressBar& bar) const {
        const std::string path = model.checkpoint();
        return model_for(path, model.mmproj, model.bundle)
            .embedder(path, {.dimensions = dimensions, .batch = {.threads = model.threads}, .progress = bar.callback()},
                      model.load_options(bar));
    }
};

/// A picture where there is a file of that name, else a text.
inline qwen3vl::Input picture_or_text(const std::string& word) {
    std::error_code error;
    return std::filesystem::is_regular_file(word, error) ? qwen3vl::Input(qwen3vl::Image::open(word))
                                                         : qwen3vl::Input(word);
}
