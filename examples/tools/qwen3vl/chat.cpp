// qwen3vl chat: a conversation on the terminal.
#include <cstdio>
#include <iostream>
#include <memory>

#include "any_chat.hpp"
#include "commands.hpp"
#include "model_options.hpp"
#include "terminal.hpp"

namespace commands::chat {
namespace q = qwen3vl;

constexpr const char* help =
    "/image FILE   show a picture with the next message\n"
    "/frames DIR   show a folder of frames with the next message\n"
    "/history      what was said\n"
    "/clear        forget everything\n"
    "/quit         leave (so does Ctrl-D; Ctrl-C stops an answer)\n";

/// The rest of a line after a command word.
std::string argument_of(const std::string& line) {
    const auto begin = line.find_first_not_of(" \t", line.find_first_of(" \t"));
    return begin == std::string::npos ? "" : line.substr(begin, line.find_last_not_of(" \t\r") + 1 - begin);
}

class Conversation {
  public:
    Conversation(AnyChat& chat, const ModelOptions& options, const char* model, ProgressBar& bar)
        : chat_(chat), options_(options), model_(model), bar_(bar) {}

    /// Handles one line; false: leave.
    bool line(const std::string& line) {
        if (line.empty()) return true;
        if (line == "/quit" || line == "/exit") return false;
        if (line == "/help")
            std::fputs(help, stdout);
        else if (line == "/clear")
            clear();
        else if (line == "/history")
            std::fputs(history_.c_str(), stdout);
        else if (line.starts_with("/image "))
            show(q::Input(q::Image::open(argument_of(line))), argument_of(line));
        else if (line.starts_with("/frames "))
            show(q::Input(q::Video::open_folder(argument_of(line), 1.0)), argument_of(line));
        else if (line.starts_with("/"))
            std::printf("no such command: %s\n%s", line.c_str(), help);
        else
            ask(line);
        return true;
    }

  private:
    void clear() {
        chat_.clear();
        content_.clear();
        history_.clear();
    }
    void show(q::Input input, const std::string& name) {
        content_.push_back(std::move(input));
        history_ += "[" + name + "]\n";
    }
    void ask(const std::string& text) {
        interrupted = false;
        auto content = std::exchange(content_, {});
        content.emplace_back(text);
        try {
            const auto reply = chat_.ask(content, [&](std::string_view piece) {
                if (!options_.json) std::fputs(std::string(piece).c_str(), stdout);
                std::fflush(stdout);
                return !interrupted.load();
            });
            std::printf("%s\n", options_.json ? reply_json(reply, model_).dump().c_str() : "");
            history_ += "> " + text + "\n" + reply.text + "\n";
        } catch (...) {
            content.pop_back();  // the pictures are still there for the next try
            content_ = std::move(content);
            bar_.clear();
            throw;
        }
    }

    AnyChat& chat_;
    const ModelOptions& options_;
    const char* model_;
    ProgressBar& bar_;
    std::vector<q::Input> content_;
    std::string history_;
};

int run(const ModelOptions& o) {
    ProgressBar bar;
    const std::string path = o.checkpoint();
    const auto& model = model_for(path, o.mmproj, o.bundle);
    const auto chat = model.open(path, o.chat_options(bar), o.load_options(bar));
    const bool interactive = isatty(STDIN_FILENO) && !o.json;
    if (interactive) std::printf("%s; /help lists the commands\n", model.name);
    Conversation conversation(*chat, o, model.name, bar);
    int result = 0;
    for (std::string line;
         (!interactive || std::printf("> ")) && std::fflush(stdout) == 0 && std::getline(std::cin, line);) {
        const auto handle = [&] { return conversation.line(line) ? 0 : -1; };
        const int code = guarded("chat", handle);
        if (code == -1) break;
        result = interactive ? 0 : std::max(result, code);  // a person has seen the message; a script needs the code
    }
    return result;
}

void add(CLI::App& app, int& exit_code) {
    auto options = std::make_shared<ModelOptions>();
    auto* sub = app.add_subcommand("chat", "A conversation, with pictures, on the terminal");
    sub->footer(std::string("Inside the conversation:\n") + help);
    options->add_to(*sub);
    sub->callback([options, &exit_code] { exit_code = guarded("chat", [&] { return run(*options); }); });
}

}  // namespace commands::chat
