#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <limits>
#include <span>

#include "matching_dims.hpp"
#include "shapes_cases.hpp"

/// What a model predicts over given texts: every token after the one before it, whatever the model itself would have
/// said ("teacher forcing").
namespace predictions {
namespace q = qwen3vl;

/// Takes the logits [vocab] before one token of a text, and the token.
using Take = std::function<void(std::span<const float> logits, int next)>;

/// A range of the pieces (questions, or windows of a text) that a program looks at.
struct Range {
    int skip = 0, limit = 0;  ///< limit 0: all that are left
    /// Cuts a list of pieces down to the range. Throws ConfigError where nothing is left.
    template <class T>
    void apply(std::vector<T>& pieces) const {
        pieces.erase(pieces.begin(), pieces.begin() + std::min<std::ptrdiff_t>(skip, std::ssize(pieces)));
        if (limit > 0 && limit < std::ssize(pieces)) pieces.resize(static_cast<std::size_t>(limit));
        if (pieces.empty()) throw q::ConfigError("--skip " + std::to_string(skip) + " leaves nothing");
    }
};

/// The questions of a folder: the predictions of the tokens of every reference answer, and of the end behind it.
template <class M>
void over_cases(const M& model, const std::string& folder, const Range& range, const q::SessionOptions& session_options,
                const Take& take) {
    auto cases = shapes::read_cases(folder);
    range.apply(cases);
    const auto& assets = *model.assets();
    if (!assets.tokenizer || assets.generation.eos.empty())
        throw q::ConfigError(assets.folder + ": expected a tokenizer and an end token");
    std::vector<int> answer;
    q::ChatOptions options;
    options.max_new_tokens = 512;
    options.session = session_options;
    options.session.context = 4096;
    options.temperature = 0;
    options.repetition_penalty = 1;
    options.presence_penalty = 0;
    options.logits_processor = [&](std::span<const int> so_far, std::span<float> logits) {
        const int next = so_far.size() < answer.size() ? answer[so_far.size()] : assets.generation.eos[0];
        take(logits, next);
        std::fill(logits.begin(), logits.end(), -std::numeric_limits<float>::infinity());
        logits[static_cast<std::size_t>(next)] = 0.0f;
    };
    q::Chat chat(model, options);
    for (const auto& c : cases) {
        answer = assets.tokenizer->encode(c.reference);
        chat.clear();
        chat.ask(shapes::content_of(c, folder));
    }
}

/// The tokens of a text file in windows of `window`, the last one shorter.
inline std::vector<std::vector<int>> windows_of(const q::Assets& assets, const std::string& file, int window) {
    if (!assets.tokenizer) throw q::ConfigError(assets.folder + ": expected a tokenizer");
    const auto tokens = assets.tokenizer->encode(q::read_file(file));
    std::vector<std::vector<int>> windows;
    for (auto at = tokens.begin(); tokens.end() - at > 1;) {
        const auto end = at + std::min<std::ptrdiff_t>(window, tokens.end() - at);
        windows.emplace_back(at, end);
        at = end;
    }
    if (windows.empty())
        throw q::ConfigError(file + ": expected a text of two tokens at least, found " + std::to_string(tokens.size()));
    return windows;
}

/// A text file in windows of `window` tokens: the predictions of all tokens but the first of each.
template <class M>
void over_text(const M& model, const std::string& file, int window, const Range& range,
               const q::SessionOptions& session_options, const Take& take) {
    auto windows = windows_of(*model.assets(), file, window);
    range.apply(windows);
    q::SessionOptions options = session_options;
    options.context = window;
    q::Session session(model, options);
    for (const auto& w : windows) {
        session.reset();
        std::size_t next = 1;  // what follows the last token is not known
        session.append({w, {}}, {.hook = [&](std::string_view name, int, q::ConstMatrix m) {
                           if (name == "logits" && next < w.size())
                               take({m.data, static_cast<std::size_t>(m.cols)}, w[next++]);
                       }});
    }
}

/// Questions for a number that stands somewhere in the first window of a text, at depths from its beginning to its end:
/// the predictions of the number's tokens. Throws ConfigError where the window has no room for them.
template <class M>
void over_needles(const M& model, const std::string& file, int window, int count,
                  const q::SessionOptions& session_options, const Take& take) {
    const auto& assets = *model.assets();
    const std::vector<int> hay = windows_of(assets, file, window).front();
    q::SessionOptions options = session_options;
    options.context = window;
    q::Session session(model, options);
    for (int i = 0; i < count; ++i) {
        const std::string number = std::to_string(10000 + (i * 7919 + 4217) % 90000);
        const auto fact = assets.tokenizer->encode("\n\nThe pass key is " + number + ". Remember it: " + number +
                                                   " is the pass key.\n\n");
        const auto question = assets.tokenizer->encode("\n\nWhat is the pass key? The pass key is");
        const auto answer = assets.tokenizer->encode(" " + number);
        const std::int64_t room = std::min<std::int64_t>(
            window - std::ssize(fact) - std::ssize(question) - std::ssize(answer), std::ssize(hay));
        if (room < 2)
            throw q::ConfigError("--window " + std::to_string(window) +
                                 ": a question for a number does not fit; use 100 and more");
        const std::int64_t depth = room * (2 * i + 1) / (2 * count);
        std::vector<int> prompt(hay.begin(), hay.begin() + depth);
        prompt.insert(prompt.end(), fact.begin(), fact.end());
        prompt.insert(prompt.end(), hay.begin() + depth, hay.begin() + room);
        prompt.insert(prompt.end(), question.begin(), question.end());
        session.reset();
        session.append({prompt, {}});
        for (const int token : answer) {
            take(session.logits(), token);
            session.append(token);
        }
    }
}

/// A model and the pieces that it runs over: the options that the programs of predictions share.
struct Source {
    std::string model, mmproj, folder, text;
    Range range;
    int window = 512, needles = 0, threads = 0;

    void add_to(CLI::App& app) {
        app.add_option("FOLDER", folder, "questions: cases.json and images/, as make_eval.py writes them");
        app.add_option("--model", model, "checkpoint folder or .gguf file")->required();
        app.add_option("--mmproj", mmproj,
                       "the vision part of a .gguf model; by default the file mmproj*.gguf beside it");
        app.add_option("--text", text, "a text file, instead of questions");
        app.add_option("--skip", range.skip, "leave out the first so many questions or windows")
            ->check(CLI::NonNegativeNumber);
        app.add_option("--limit", range.limit, "only so many questions or windows; 0: all")
            ->check(CLI::NonNegativeNumber);
        app.add_option("--window", window, "tokens to a window of the text")
            ->check(CLI::Range(2, 4096))
            ->capture_default_str();
        app.add_option(
               "--needles", needles,
               "ask so many times for a number that stands in the text's first window, in place of predicting the text")
            ->check(CLI::Range(0, 1000));
        app.add_option("--threads", threads, "0: one for each physical core")->check(CLI::NonNegativeNumber);
    }
    /// f(type_tag<D>) for the model's Dims, one of the list's. Throws ConfigError unless there are either questions or
    /// a text, and as with_matching_dims.
    template <class List, class F>
    void with_dims(F&& f) const {
        if (folder.empty() == text.empty())
            throw q::ConfigError("expected either a FOLDER of questions or --text FILE");
        if (needles > 0 && text.empty()) throw q::ConfigError("--needles: expected a --text to hide numbers in");
        with_matching_dims<List>(model, std::forward<F>(f));
    }
    /// take(logits, token) for every prediction; their number. `recorder`: of sessions, SessionOptions::recorder.
    template <class M>
    std::int64_t predict(const M& loaded, const Take& take = {}, const q::ops::Recorder* recorder = nullptr) const {
        using D = typename M::dims;
        q::SessionOptions session;
        session.threads = threads;
        session.recorder = recorder;
        std::int64_t count = 0;
        const auto counted = [&](std::span<const float> logits, int next) {
            ++count;
            if (take) take(logits, next);
        };
        if (text.empty()) {
            if constexpr (q::VisionLanguageDims<D>)
                over_cases(loaded, folder, range, session, counted);
            else
                throw q::ConfigError(std::string(D::name) + " has no vision tower: use --text FILE");
        } else if (needles > 0) {
            over_needles(loaded, text, window, needles, session, counted);
        } else {
            over_text(loaded, text, window, range, session, counted);
        }
        return count;
    }
};

/// The same, of a program that writes a file of what it sees on the way.
struct Recording : Source {
    std::string out;

    void add_to(CLI::App& app) {
        Source::add_to(app);
        app.add_option("--out,-o", out, "the file to write")->required();
    }
};

}  // namespace predictions
