#pragma once
#include <condition_variable>
#include <qwen3vl/chat/encode_chat.hpp>
#include <qwen3vl/engine/request.hpp>
#include <thread>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Extents of an engine, fixed for its life.
struct EngineOptions {
    int context = 8192;      ///< tokens of a request at most, prompt and answer together
    int rows = 512;          ///< tokens of all requests that pass the layers in one step
    int prefill_rows = 256;  ///< of these, tokens of prompts at most while answers go on: bounds the gap between tokens
    int running = 32;        ///< requests that run at once
    int waiting = 256;       ///< requests that wait at most; more are refused
    double aging = 10;       ///< seconds of waiting that count as one priority; 0: none
    int threads = 0;         ///< for prompts and pictures; 0: the execution policy's default
    int decode_threads = 0;  ///< for steps without a prompt; 0: as `threads`
    std::shared_ptr<FeatureCache> feature_cache = {};  ///< encoded pictures; by default 256 MiB of them
};

/// What an engine has done, and is doing.
struct EngineStatistics {
    std::int64_t waiting = 0, running = 0;              ///< requests, now
    std::int64_t finished = 0, refused = 0;             ///< requests, so far; failed ones count as finished
    std::int64_t steps = 0, preemptions = 0;            ///< so far
    std::int64_t prompt_tokens = 0, answer_tokens = 0;  ///< computed and chosen, so far
};

/// Answers many requests at once, over a pool of pages: continuous batching. Every step is one forward pass over the
/// next token of each running answer and a part of the prompts that wait; pictures are encoded in between, block by
/// block, while answers go on. An answer has the bits of a Session of its own, whatever else runs. Where pages run out,
/// the latest request of the lowest priority gives its own back and is computed again later. One thread of its own
/// steps the model; all members may be called from any thread. Model and pool outlive it.
///
///     q::PagePool pool(model, {.tokens = 65536});
///     q::Engine engine(pool, {.context = 8192});
///     auto answer = engine.submit({.conversation = {{{chat::Role::user, {"Hello"}}}}});
///     std::cout << answer.get().text;
template <class M>
class Engine {
    using D = typename M::dims;
    using Task = detail::EngineTask<M>;
    using TaskPtr = std::shared_ptr<Task>;

  public:
    /// Takes the memory of a step, and starts the thread. Throws PromptError where the model was loaded without a
    /// tokenizer; ContextOverflow, OutOfMemory as Workspace.
    explicit Engine(PagePool<M>& pool, const EngineOptions& options = {});
    /// Ends running and waiting requests with Cancelled.
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Queues a request. Throws PromptError, ContextOverflow, ImageError where it can never be answered, and Overloaded
    /// where too many wait.
    EngineAnswer submit(EngineRequest request);
    /// Counts as of now.
    EngineStatistics statistics() const {
        const std::lock_guard lock(mutex_);
        return counts_;
    }

  private:
    void run();
    /// Moves what submit() queued to the scheduler. False where the engine ends.
    bool take_submitted();
    void admit();
    bool start(const TaskPtr& task);
    void encode_next();
    void step();
    /// Makes room for the pending tokens of a running request; preempts others, or itself, where there is none.
    bool reserve(Task& task);
    void put_back(const engine::Ticket& ticket);
    void take_logits(Task& task);
    void go_on(Task& task, std::span<const int> batch);
    void finish(Task& task);
    void fail(Task& task, std::exception_ptr error);
    /// Takes a request out of the engine; its pages go back to the pool.
    TaskPtr release(Task& task);
    void drop_ended();
    /// Tickets of running requests; `with_pages`: of those alone that hold pages.
    std::vector<const engine::Ticket*> tickets(bool with_pages = false) const {
        std::vector<const engine::Ticket*> out;
        for (const auto& t : running_)
            if (!with_pages || t->sequence) out.push_back(&t->ticket);
        return out;
    }
    double now() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    }
    static std::shared_ptr<const Assets> assets_of(const M& model) {
        if (!model.assets() || !model.assets()->tokenizer)
            throw PromptError("an engine needs a tokenizer: expected tokenizer.json in the checkpoint's folder");
        return model.assets();
    }
    static int context_of(const EngineOptions& o) {
        return static_cast<int>(std::min<std::int64_t>(o.context, Sequence<M>::max_context));
    }

    EngineOptions options_;
    PagePool<M>* pool_;
    std::shared_ptr<const Assets> assets_;
    Workspace<M> workspace_;
    detail::MediaConfig<M> config_;
    std::shared_ptr<FeatureCache> cache_;

    mutable std::mutex mutex_;  ///< guards the four below
    std::condition_variable submitted_;
    std::vector<TaskPtr> inbox_;
    EngineStatistics counts_;
    bool ends_ = false;

    // the thread's own
    engine::Scheduler scheduler_;
    std::map<std::uint64_t, TaskPtr> waiting_;
    std::vector<TaskPtr> running_;  ///< in the order in which they began
    bool pages_left_ = true;        ///< false: nobody starts before somebody ends
    std::vector<Chunk<M>> chunks_;
    std::uint64_t next_id_ = 0;  ///< guarded by mutex_
    std::thread thread_;
};

template <class M>
Engine<M>::Engine(PagePool<M>& pool, const EngineOptions& options)
    : options_(options),
      pool_(&pool),
      assets_(assets_of(pool.model())),
      workspace_(pool.model(), {.context = context_of(options),
                                .rows = options.rows,
                                .threads = options.threads,
                                .decode_threads = options.decode_threads,
                                .logits_rows = std::clamp(options.running, 1, std::max(1, options.rows))}),
      config_(pool.model(), *assets_),
      cache_(options.feature_cache ? options.feature_cache : std::make_shared<FeatureCache>(std::int64_t{256} << 20)),
      scheduler_({.rows = std::max(1, options.rows),
                  .prefill_rows = std::max(1, options.prefill_rows),
                  .aging = options.aging}) {
    static_assert(Sequence<M>::can_share,
                  "qwen3vl: slot kv_cache: an engine's requests share a pool of pages; use kv_cache::Paged");
    options_.context = context_of(options);
    options_.running = std::clamp(options.running, 1, std::max(1, options.rows));
    thread_ = std::thread([this] { run(); });
}

template <class M>
Engine<M>::~Engine() {
    {
        const std::lock_guard lock(mutex_);
        ends_ = true;
    }
    submitted_.notify_all();
    thread_.join();
}

template <class M>
EngineAnswer Engine<M>::submit(EngineRequest request) {
    auto task = std::make_shared<Task>();
    std::vector<detail::MediaExtent> extents;
    for (const auto& input : request.media) {
        if constexpr (!VisionLanguageDims<D>) throw PromptError("this model has no vision tower: it takes text only");
        if (std::holds_alternative<std::string>(input) || std::holds_alternative<ImageInfo>(input))
            throw PromptError("EngineRequest::media: expected pictures and clips; text belongs to the messages");
        extents.push_back(detail::extent_of<M>(input, config_));
    }
    task->tokens = chat::encode_chat(*assets_->tokenizer, request.conversation, detail::media_sizes(extents), {}).ids;
    if (std::ssize(task->tokens) >= options_.context)
        throw ContextOverflow("the conversation has " + std::to_string(task->tokens.size()) +
                              " tokens, EngineOptions::context is " + std::to_string(options_.context));
    if (request.generation.stop_tokens.empty()) request.generation.stop_tokens = assets_->generation.eos;
    if (!request.generation.answer.vocabulary) request.generation.answer.vocabulary = &assets_->token_trie;
    AnswerStream(*assets_->tokenizer, D::text.vocab, task->tokens, request.generation);  // throws for its options
    task->ticket = {.id = 0, .priority = request.priority, .client = request.client, .arrival = now()};
    task->reply.prompt_tokens = std::ssize(task->tokens);
    task->request = std::move(request);
    EngineAnswer answer(task->result.get_future(), {task, &task->cancelled});
    {
        const std::lock_guard lock(mutex_);
        if (counts_.waiting >= options_.waiting) {
            ++counts_.refused;
            throw Overloaded(std::to_string(counts_.waiting) + " requests wait, EngineOptions::waiting is " +
                             std::to_string(options_.waiting) + "; try again later");
        }
        ++counts_.waiting;
        task->ticket.id = ++next_id_;
        inbox_.push_back(std::move(task));
    }
    submitted_.notify_one();
    return answer;
}

template <class M>
bool Engine<M>::take_submitted() {
    std::unique_lock lock(mutex_);
    submitted_.wait(lock, [&] { return ends_ || !inbox_.empty() || !waiting_.empty() || !running_.empty(); });
    for (auto& task : inbox_) {
        scheduler_.wait(task->ticket);
        waiting_.emplace(task->ticket.id, std::move(task));
    }
    inbox_.clear();
    return !ends_;
}

template <class M>
void Engine<M>::run() {
    while (take_submitted()) {
        drop_ended();
        admit();
        encode_next();
        step();
    }
    while (!running_.empty()) fail(*running_.back(), std::make_exception_ptr(Cancelled("the engine ended")));
    while (!waiting_.empty()) fail(*waiting_.begin()->second, std::make_exception_ptr(Cancelled("the engine ended")));
}

/// Ends requests that were cancelled or are late.
template <class M>
void Engine<M>::drop_ended() {
    std::vector<TaskPtr> ended;
    for (const auto& [id, t] : waiting_)
        if (t->over()) ended.push_back(t);
    for (const auto& t : running_)
        if (t->over()) ended.push_back(t);
    for (const auto& t : ended) {
        if (t->answer) t->answer->end(StopReason::cancelled);
        finish(*t);
    }
}

template <class M>
void Engine<M>::admit() {
    while (std::ssize(running_) < options_.running && (pages_left_ || running_.empty())) {
        const engine::Ticket* next = scheduler_.next(now(), tickets());
        if (!next) return;
        const TaskPtr task = waiting_.at(next->id);
        scheduler_.remove(task->ticket.id);
        waiting_.erase(task->ticket.id);
        if (task->reply.queue_seconds == 0) task->reply.queue_seconds = task->seconds_since(task->submitted);
        running_.push_back(task);
        {
            const std::lock_guard lock(mutex_);
            --counts_.waiting;
            ++counts_.running;
        }
        if (task->visuals.size() == task->request.media.size() && !start(task)) return;
    }
}

/// Gives a request its sequence, and room for its prompt. False where there is none; it waits again then.
template <class M>
bool Engine<M>::start(const TaskPtr& task) {
    try {
        std::int64_t context = std::ssize(task->tokens) + std::max(task->request.generation.max_new_tokens, 0) + 1;
        if (detail::PolicyStates<D, typename M::policies>::any || context > options_.context)
            context = options_.context;  // states may depend on it
        task->sequence = std::make_unique<Sequence<M>>(*pool_, SequenceOptions{.context = static_cast<int>(context)});
        auto& sequence = *task->sequence;
        sequence.append(Prompt{task->tokens, task->visuals});
        if (task->answer)
            for (const int token : task->answer->tokens()) sequence.append(token);
        task->reply.reused_tokens = sequence.match_prefix(workspace_.team());
        sequence.reserve();
    } catch (const PoolExhausted&) {
        if (tickets(true).size() > 1) {
            pages_left_ = false;
            put_back(task->ticket);
            return false;
        }
        fail(*task, std::current_exception());
    } catch (...) {
        fail(*task, std::current_exception());
    }
    return true;
}

/// Encodes one picture of the first request that lacks one. Between the tower's blocks, answers go on.
template <class M>
void Engine<M>::encode_next() {
    if constexpr (VisionLanguageDims<D>) {
        const auto first = std::find_if(running_.begin(), running_.end(), [](const TaskPtr& t) {
            return !t->sequence && t->visuals.size() < t->request.media.size();
        });
        if (first == running_.end()) return;
        const TaskPtr task = *first;
        try {
            task->visuals.push_back(detail::features_of(workspace_, task->request.media[task->visuals.size()], config_,
                                                        {}, *cache_,
                                                        [&](const Progress&) {
                                                            step();
                                                            workspace_.team();  // prompts' threads again
                                                            return !task->over();
                                                        })
                                        .features);
            if (task->visuals.size() == task->request.media.size()) start(task);
        } catch (const Cancelled&) {
            finish(*task);
        } catch (...) {
            fail(*task, std::current_exception());
        }
    }
}

template <class M>
bool Engine<M>::reserve(Task& task) {
    for (;;) {
        try {
            task.sequence->reserve();
            return true;
        } catch (const PoolExhausted&) {
            const auto holders = tickets(true);
            if (holders.size() == 1) {
                fail(task, std::current_exception());
                return false;
            }
            const engine::Ticket victim = *engine::Scheduler::victim(holders);
            pages_left_ = false;
            put_back(victim);
            {
                const std::lock_guard lock(mutex_);
                ++counts_.preemptions;
            }
            if (victim.id == task.ticket.id) return false;
        }
    }
}

/// Takes a running request's pages; it waits in its old place, and keeps its answer so far.
template <class M>
void Engine<M>::put_back(const engine::Ticket& ticket) {
    const auto at =
        std::find_if(running_.begin(), running_.end(), [&](const TaskPtr& t) { return t->ticket.id == ticket.id; });
    const TaskPtr task = *at;
    running_.erase(at);
    if (task->sequence->length() > 0) ++task->reply.preemptions;
    task->sequence.reset();
    scheduler_.wait(task->ticket);
    waiting_.emplace(task->ticket.id, task);
    const std::lock_guard lock(mutex_);
    ++counts_.waiting;
    --counts_.running;
}

template <class M>
void Engine<M>::step() {
    std::vector<TaskPtr> ready;
    for (const auto& t : std::vector(running_))
        if (t->sequence && reserve(*t)) ready.push_back(t);
    std::erase_if(ready, [](const TaskPtr& t) { return !t->sequence; });  // gave its pages to a later one
    if (ready.empty()) return;
    std::vector<engine::Demand> demands;
    for (const auto& t : ready) demands.push_back({t->sequence->pending(), t->answer && t->sequence->has_logits()});
    const auto shares = scheduler_.share(demands);
    chunks_.clear();
    std::vector<TaskPtr> of_chunk;
    std::int64_t prompt_tokens = 0;
    for (std::size_t i = 0; i < ready.size(); ++i) {
        auto& sequence = *ready[i]->sequence;
        const std::int64_t most =
            std::min(shares[i], detail::largest_chunk<D, typename M::policies>(sequence.options().context));
        if (most < 1) continue;
        const std::int64_t count = sequence.next_chunk(most);
        chunks_.push_back({&sequence, count, count == sequence.pending() ? 1 : 0});
        of_chunk.push_back(ready[i]);
        if (!demands[i].answering) prompt_tokens += count;
    }
    try {
        workspace_.forward(chunks_);
    } catch (...) {
        for (const auto& t : of_chunk) fail(*t, std::current_exception());
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        ++counts_.steps;
        counts_.prompt_tokens += prompt_tokens;
    }
    for (std::size_t i = 0; i < of_chunk.size(); ++i)
        if (chunks_[i].logits > 0) take_logits(*of_chunk[i]);
}

/// Chooses a request's next token.
template <class M>
void Engine<M>::take_logits(Task& task) {
    try {
        auto& sequence = *task.sequence;
        const auto room = [&] { return sequence.context() - sequence.length(); };
        if (!task.answer) {
            task.answer.emplace(*assets_->tokenizer, D::text.vocab, task.tokens, task.request.generation,
                                task.request.on_text);
            if (const auto forced = task.answer->begin(room()); !forced.empty() || task.answer->ended())
                return go_on(task, forced);
        }
        go_on(task, task.answer->next(sequence.logits(), room()));
    } catch (...) {
        fail(task, std::current_exception());
    }
}

template <class M>
void Engine<M>::go_on(Task& task, std::span<const int> batch) {
    const auto time = Task::Clock::now();
    if (task.last_token == typename Task::Clock::time_point{})
        task.reply.first_seconds = task.seconds_since(task.submitted);
    else
        task.reply.longest_gap =
            std::max(task.reply.longest_gap, std::chrono::duration<double>(time - task.last_token).count());
    task.last_token = time;
    {
        const std::lock_guard lock(mutex_);
        counts_.answer_tokens += std::ssize(batch);
    }
    if (task.answer->ended()) return finish(task);
    for (const int token : batch) task.sequence->append(token);
}

template <class M>
auto Engine<M>::release(Task& task) -> TaskPtr {
    TaskPtr kept;
    const std::uint64_t id = task.ticket.id;
    const auto at = std::find_if(running_.begin(), running_.end(), [&](const TaskPtr& t) { return t.get() == &task; });
    const bool ran = at != running_.end();
    if (ran) {
        kept = *at;
        running_.erase(at);
    } else {
        kept = waiting_.at(id);
        waiting_.erase(id);
        scheduler_.remove(id);
    }
    kept->sequence.reset();
    kept->visuals.clear();
    pages_left_ = true;
    const std::lock_guard lock(mutex_);
    --(ran ? counts_.running : counts_.waiting);
    ++counts_.finished;
    return kept;
}

/// Gives a request's answer, and all it holds back.
template <class M>
void Engine<M>::finish(Task& task) {
    EngineReply reply = std::move(task.reply);
    try {
        if (task.answer)
            static_cast<Generation&>(reply) = task.answer->finish();
        else
            reply.reason = StopReason::cancelled;
    } catch (...) {  // of the callback
        return fail(task, std::current_exception());
    }
    const TaskPtr kept = release(task);
    kept->result.set_value(std::move(reply));
}

template <class M>
void Engine<M>::fail(Task& task, std::exception_ptr error) {
    const TaskPtr kept = release(task);
    kept->result.set_exception(std::move(error));
}

}  // namespace qwen3vl
