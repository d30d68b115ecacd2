#pragma once
#include <qwen3vl/chat/chat.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "any_chat.hpp"
#include "terminal.hpp"

/// The options of commands that run a model. add_to() has those of describe, chat and detect; add_model_to() those that
/// embed and search need too.
struct ModelOptions {
    std::string model, mmproj, bundle, packed, calibration;
    std::string system;
    int max_new_tokens = 512, context = 8192, threads = 0;
    double temperature = -1;
    std::uint64_t seed = 0;
    bool json = false, verbose = false;

    void add_model_to(CLI::App& sub) {
        sub.add_option(
               "--model,-m", model,
               "Hugging Face checkpoint folder or .gguf file; without it the small model that comes with the source")
            ->envname("QWEN3VL_MODEL")
            ->check(CLI::ExistingPath);
        add_mmproj(sub, mmproj);
        add_bundle(sub, bundle);
        sub.add_option(
            "--packed", packed,
            "a folder to keep the weights' packed form in, made where it is missing: the next start maps it");
        sub.add_option("--calibration", calibration,
                       "a file made by examples/tools/calibrate, by which 8- and 4-bit formats round weights")
            ->check(CLI::ExistingFile);
        sub.add_option("--threads", threads, "0: one for each physical core")
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str();
        sub.add_flag("--verbose,-v", verbose, "warnings of the loader");
    }
    void add_to(CLI::App& sub) {
        add_model_to(sub);
        sub.add_option("--system", system, "system message");
        sub.add_option("--max-new-tokens,-n", max_new_tokens, "longest answer")
            ->check(CLI::PositiveNumber)
            ->capture_default_str();
        sub.add_option("--context", context, "tokens of prompt and answers together")
            ->check(CLI::PositiveNumber)
            ->capture_default_str();
        sub.add_option("--temperature", temperature,
                       "0: always the likeliest token; by default what the checkpoint's generation_config.json says")
            ->check(CLI::NonNegativeNumber);
        sub.add_option("--seed", seed, "the same seed gives the same answer")->capture_default_str();
        sub.add_flag("--json", json, "one JSON object instead of streamed text");
    }

    /// The option of every command that takes a GGUF model.
    static void add_mmproj(CLI::App& sub, std::string& mmproj) {
        sub.add_option("--mmproj", mmproj,
                       "the vision part of a .gguf model; by default the file mmproj*.gguf beside it")
            ->check(CLI::ExistingFile);
    }

    /// The option of every command that makes a model.
    static void add_bundle(CLI::App& sub, std::string& bundle) {
        std::vector<std::string> names;
        for (const auto& m : compiled_models())
            if (std::find(names.begin(), names.end(), m.bundle) == names.end()) names.push_back(m.bundle);
        sub.add_option("--bundle", bundle, "weights and policies; by default " + names.front())
            ->check(CLI::IsMember(names));
    }

    /// What to load; says so where nobody named anything.
    std::string checkpoint() const {
        if (!model.empty()) return model;
        std::fprintf(stderr, "using %s, which knows coloured shapes only; name another model with --model\n",
                     QWEN3VL_SHIPPED_MODEL);
        return QWEN3VL_SHIPPED_MODEL;
    }

    qwen3vl::ChatOptions chat_options(ProgressBar& bar) const {
        catch_interrupt();
        qwen3vl::ChatOptions o;
        o.max_new_tokens = max_new_tokens;
        o.session.context = context;
        o.session.threads = threads;
        o.system = system;
        o.seed = seed;
        if (temperature >= 0) o.temperature = temperature;
        o.progress = bar.callback();
        return o;
    }
    qwen3vl::LoadOptions load_options(ProgressBar& bar) const {
        qwen3vl::LoadOptions o;
        o.progress = bar.callback();
        o.threads = threads;
        o.mmproj = mmproj;
        o.packed = packed;
        o.calibration = calibration;
        if (verbose) o.log = [](std::string_view text) { std::fprintf(stderr, "%s\n", std::string(text).c_str()); };
        return o;
    }
};

/// A reply for scripts.
inline nlohmann::ordered_json reply_json(const qwen3vl::Reply& r, const char* model) {
    return {{"model", model},
            {"text", r.text},
            {"stop", qwen3vl::stop_reason_name(r.reason)},
            {"prompt_tokens", r.prompt_tokens},
            {"reused_tokens", r.reused_tokens},
            {"answer_tokens", r.tokens.size()},
            {"encode_seconds", r.encode_seconds},
            {"prefill_seconds", r.prefill_seconds},
            {"decode_seconds", r.seconds}};
}
