// The command line: qwen3vl describe | chat | detect | align | embed | search | plan | advise | inspect | tokenize |
// preprocess.
#include <qwen3vl/core/config.hpp>

#include "commands.hpp"

int main(int argc, char** argv) {
    CLI::App app{
        "Runs Qwen3-VL on this machine's CPU.\n\n"
        "  qwen3vl describe street.jpg \"What does the sign say?\" --model Qwen3-VL-2B-Instruct\n"
        "  qwen3vl chat --model Qwen3-VL-2B-Instruct\n\n"
        "A model is a Hugging Face checkpoint folder, as downloaded. `qwen3vl COMMAND --help` tells more.",
        "qwen3vl"};
    app.require_subcommand(1);
    app.set_version_flag("--version", std::to_string(QWEN3VL_VERSION_MAJOR) + "." +
                                          std::to_string(QWEN3VL_VERSION_MINOR) + "." +
                                          std::to_string(QWEN3VL_VERSION_PATCH));
    int exit_code = 0;
    commands::describe::add(app, exit_code);
    commands::chat::add(app, exit_code);
    commands::detect::add(app, exit_code);
    commands::align::add(app, exit_code);
    commands::embed::add(app, exit_code);
    commands::search::add(app, exit_code);
    commands::plan::add(app, exit_code);
    commands::advise::add(app, exit_code);
    commands::inspect::add(app, exit_code);
    commands::tokenize::add(app, exit_code);
    commands::preprocess::add(app, exit_code);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    return exit_code;
}
