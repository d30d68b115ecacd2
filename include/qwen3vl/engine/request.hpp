#pragma once
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <qwen3vl/chat/answer_stream.hpp>
#include <qwen3vl/chat/media.hpp>
#include <qwen3vl/chat/message.hpp>
#include <qwen3vl/engine/scheduler.hpp>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A conversation to answer, and how.
struct EngineRequest {
    chat::Conversation conversation;     ///< the messages so far, and the tools
    std::vector<Input> media = {};       ///< its pictures and clips, in order of appearance
    GenerationOptions generation = {};   ///< no stop tokens: those of the checkpoint's generation_config.json
    TextCallback on_text = {};           ///< called on the engine's thread, which waits for it; false ends the answer
    int priority = 0;                    ///< a higher one runs first
    std::string client = {};             ///< whose request it is: clients take turns
    std::optional<double> seconds = {};  ///< the answer ends with StopReason::cancelled so long after it was submitted
};

/// An engine's answer, and what it took.
struct EngineReply : Generation {
    std::int64_t prompt_tokens = 0;  ///< of the whole conversation
    std::int64_t reused_tokens = 0;  ///< prompt tokens found in the pool, the last time that it began to run
    int preemptions = 0;             ///< times that its pages were given to others
    double queue_seconds = 0;        ///< from submit() until it ran
    double first_seconds = 0;        ///< from submit() to its first token
    double longest_gap = 0;          ///< seconds between two tokens at most
};

namespace detail {

/// A request on its way through an engine. `cancelled` and `result` are for all threads, the rest for the engine's.
template <class M>
struct EngineTask {
    using Clock = std::chrono::steady_clock;
    EngineRequest request;
    engine::Ticket ticket;
    std::vector<int> tokens;  ///< of the prompt
    Clock::time_point submitted = Clock::now(), last_token{};
    std::atomic<bool> cancelled{false};
    std::promise<EngineReply> result;
    std::vector<std::shared_ptr<const VisualFeatures>> visuals;  ///< as many as are encoded
    std::unique_ptr<Sequence<M>> sequence;                       ///< null while it waits, or its pictures do
    std::optional<AnswerStream> answer;
    EngineReply reply;

    double seconds_since(Clock::time_point t) const { return std::chrono::duration<double>(Clock::now() - t).count(); }
    bool over() const {
        return cancelled.load(std::memory_order_relaxed) ||
               (request.seconds && seconds_since(submitted) > *request.seconds);
    }
};

}  // namespace detail

/// A submitted request: waits for its answer, or cancels it. May be used by any thread, and outlive the engine.
class EngineAnswer {
  public:
    /// Waits for the answer. Throws what stopped it: PoolExhausted where the pool is too small for it alone,
    /// ImageError, FileError, GrammarError, what its callback threw, Cancelled where the engine ended first. Call it
    /// once.
    EngineReply get() { return result_.get(); }
    /// Waits at most so long; true if get() would not wait.
    bool ready(double seconds = 0) const {
        return result_.wait_for(std::chrono::duration<double>(seconds)) == std::future_status::ready;
    }
    /// Ends the answer soon, with StopReason::cancelled and the text so far; all it holds is given back.
    void cancel() { cancelled_->store(true, std::memory_order_relaxed); }

  private:
    template <class M>
    friend class Engine;
    EngineAnswer(std::future<EngineReply> result, std::shared_ptr<std::atomic<bool>> cancelled)
        : result_(std::move(result)), cancelled_(std::move(cancelled)) {}

    std::future<EngineReply> result_;
    std::shared_ptr<std::atomic<bool>> cancelled_;
};

}  // namespace qwen3vl
