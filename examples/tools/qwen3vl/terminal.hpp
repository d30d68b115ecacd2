#pragma once
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/progress.hpp>

#include <unistd.h>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>

// What the subcommands share on a terminal: a progress bar, Ctrl-C as cancellation, and errors as messages with an exit
// code.

/// Set by Ctrl-C; the callbacks below then ask to stop.
inline std::atomic<bool> interrupted{false};
inline void catch_interrupt() {
    std::signal(SIGINT, [](int) { interrupted = true; });
}

/// A bar on stderr for work that lasts more than a second; nothing where stderr is no terminal.
class ProgressBar {
  public:
    qwen3vl::ProgressCallback callback() {
        return [this](const qwen3vl::Progress& p) {
            show(p);
            return !interrupted.load();
        };
    }
    /// Wipes the bar off the line.
    void clear() {
        if (shown_) std::fprintf(stderr, "\r\033[K");
        shown_ = false;
    }

  private:
    void show(const qwen3vl::Progress& p) {
        if (p.done == 0 || p.stage != stage_) {
            stage_ = p.stage;
            begin_ = std::chrono::steady_clock::now();
        }
        if (p.done >= p.total) return clear();
        if (!isatty(STDERR_FILENO) || std::chrono::steady_clock::now() - begin_ < std::chrono::seconds(1)) return;
        constexpr int width = 30;
        const int filled = static_cast<int>(width * p.done / p.total);
        std::fprintf(stderr, "\r%-8s [%s%s] %3d %%", stage_.c_str(),
                     std::string(static_cast<std::size_t>(filled), '#').c_str(),
                     std::string(static_cast<std::size_t>(width - filled), ' ').c_str(),
                     static_cast<int>(100 * p.done / p.total));
        std::fflush(stderr);
        shown_ = true;
    }
    std::string stage_;
    std::chrono::steady_clock::time_point begin_;
    bool shown_ = false;
};

/// Runs a subcommand; the library's errors go to stderr as one line and become exit code 2, an interruption 130.
template <class F>
int guarded(const char* command, F&& f) {
    try {
        return f();
    } catch (const qwen3vl::Cancelled&) {
        std::fprintf(stderr, "\nqwen3vl %s: interrupted\n", command);
        return 130;
    } catch (const qwen3vl::Error& e) {
        std::fprintf(stderr, "qwen3vl %s: %s\n", command, e.what());
        return 2;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "qwen3vl %s: out of memory\n", command);
        return 2;
    }
}
