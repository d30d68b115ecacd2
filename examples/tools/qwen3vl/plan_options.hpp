#pragma once
#include <qwen3vl/model/session_options.hpp>

#include <CLI/CLI.hpp>
#include <string>

/// The options that plan and advise share: what is planned for.
struct PlanOptions {
    std::string path;
    int chunk = 512, threads = 0, picture = 1024;
    bool json = false;

    void add_model(CLI::App& sub) {
        sub.add_option("MODEL", path, "Hugging Face checkpoint folder (its config.json alone is read) or .gguf file")
            ->required()
            ->check(CLI::ExistingPath);
    }
    void add_to(CLI::App& sub) {
        sub.add_option("--chunk", chunk, "tokens of a prefill chunk")
            ->check(CLI::PositiveNumber)
            ->capture_default_str();
        sub.add_option("--threads", threads, "0: one for each physical core")
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str();
        sub.add_option("--picture", picture, "side of the largest picture, in pixels")
            ->check(CLI::Range(32, 16384))
            ->capture_default_str();
        sub.add_flag("--json", json, "for scripts");
    }
    /// A session of so many tokens; of a model that sees, with pictures in patches of so many pixels.
    qwen3vl::SessionOptions session(int context) const {
        return {.context = context, .chunk = chunk, .threads = threads};
    }
    qwen3vl::SessionOptions session(int context, int patch) const {
        auto options = session(context);
        options.largest_picture = {1, picture / patch, picture / patch};
        return options;
    }
};
