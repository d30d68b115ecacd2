#pragma once
#include <CLI/CLI.hpp>

// The subcommands of the command line, each in a file of its name and a namespace of its own, so that they can be
// compiled together. Each adds itself to the app; its callback sets the exit code: 0 done, 1 a comparison failed, 2 a
// file or option is unusable.
namespace commands::describe {
void add(CLI::App& app, int& exit_code);
}
namespace commands::chat {
void add(CLI::App& app, int& exit_code);
}
namespace commands::tokenize {
void add(CLI::App& app, int& exit_code);
}
namespace commands::preprocess {
void add(CLI::App& app, int& exit_code);
}
namespace commands::inspect {
void add(CLI::App& app, int& exit_code);
}
namespace commands::plan {
void add(CLI::App& app, int& exit_code);
}
namespace commands::advise {
void add(CLI::App& app, int& exit_code);
}
namespace commands::detect {
void add(CLI::App& app, int& exit_code);
}
namespace commands::align {
void add(CLI::App& app, int& exit_code);
}
namespace commands::embed {
void add(CLI::App& app, int& exit_code);
}
namespace commands::search {
void add(CLI::App& app, int& exit_code);
}
