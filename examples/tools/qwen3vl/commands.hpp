#pragma once
#include <CLI/CLI.hpp>

// The subcommands of the command line, each in a file of its name. Each adds itself to the app; its callback sets the
// exit code: 0 done, 1 a comparison failed, 2 a file or option is unusable.
void add_describe(CLI::App& app, int& exit_code);
void add_chat(CLI::App& app, int& exit_code);
void add_tokenize(CLI::App& app, int& exit_code);
void add_preprocess(CLI::App& app, int& exit_code);
void add_inspect(CLI::App& app, int& exit_code);
void add_plan(CLI::App& app, int& exit_code);
void add_advise(CLI::App& app, int& exit_code);
void add_detect(CLI::App& app, int& exit_code);
void add_align(CLI::App& app, int& exit_code);
void add_embed(CLI::App& app, int& exit_code);
void add_search(CLI::App& app, int& exit_code);
