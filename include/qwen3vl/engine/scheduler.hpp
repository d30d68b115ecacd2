#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <qwen3vl/core/config.hpp>
#include <string>
#include <vector>

/// Many requests at once on one model.
namespace qwen3vl::inline QWEN3VL_ABI::engine {

/// A request as the scheduler sees it.
struct Ticket {
    std::uint64_t id = 0;     ///< as the caller numbers them
    int priority = 0;         ///< a higher one goes first
    std::string client = {};  ///< whose request it is
    double arrival = 0;       ///< seconds on any clock
};

/// A running request before a step.
struct Demand {
    std::int64_t pending = 0;  ///< tokens that wait to be computed
    bool answering = false;    ///< its prompt is computed
};

/// Decides which request runs, which waits, and how many tokens each may compute in a step. Among waiting requests the
/// highest priority goes first, among those of one priority the client with the fewest running ones, then the earliest.
/// A request that waits gains a priority every `aging` seconds, so that none starves. Not thread-safe.
class Scheduler {
  public:
    /// Limits and rates.
    struct Options {
        std::int64_t rows = 512;          ///< tokens of a step
        std::int64_t prefill_rows = 256;  ///< of these, tokens of prompts at most while answers go on
        double aging = 10;                ///< seconds of waiting that count as one priority
    };
    /// Schedules within these limits; nobody waits yet.
    explicit Scheduler(const Options& options) : options_(options) {}

    /// Adds a waiting request. One that was preempted keeps its arrival, and so its place.
    void wait(Ticket ticket) { waiting_.push_back(std::move(ticket)); }
    /// Takes a waiting request out, because it runs or because it is gone.
    void remove(std::uint64_t id) {
        std::erase_if(waiting_, [&](const Ticket& t) { return t.id == id; });
    }
    /// The waiting request that runs next, or null; `running` are the tickets of those that run.
    const Ticket* next(double now, const std::vector<const Ticket*>& running) const {
        std::map<std::string, int> of_client;
        for (const Ticket* t : running) ++of_client[t->client];
        const auto load = [&](const Ticket& t) {
            const auto found = of_client.find(t.client);
            return found == of_client.end() ? 0 : found->second;
        };
        const auto before = [&](const Ticket& a, const Ticket& b) {
            const double p = level(a, now), q = level(b, now);
            if (p != q) return p > q;
            if (load(a) != load(b)) return load(a) < load(b);
            return earlier(a, b);
        };
        const auto best = std::min_element(waiting_.begin(), waiting_.end(), before);
        return best == waiting_.end() ? nullptr : &*best;
    }
    /// The running request that gives its pages up where they run out: of the lowest priority, the latest. Null for
    /// none.
    static const Ticket* victim(const std::vector<const Ticket*>& running) {
        const auto worst = std::max_element(running.begin(), running.end(), [](const Ticket* a, const Ticket* b) {
            return a->priority != b->priority ? a->priority > b->priority : earlier(*a, *b);
        });
        return worst == running.end() ? nullptr : *worst;
    }
    /// Tokens of each running request in the next step, in their order: answers first, prompts as far as there is room.
    std::vector<std::int64_t> share(const std::vector<Demand>& running) const {
        std::vector<std::int64_t> out(running.size());
        std::int64_t left = options_.rows;
        bool answers = false;
        for (std::size_t i = 0; i < running.size(); ++i)
            if (running[i].answering) {
                out[i] = std::min(left, running[i].pending);
                left -= out[i];
                answers = answers || out[i] > 0;
            }
        if (answers) left = std::min(left, options_.prefill_rows);
        for (std::size_t i = 0; i < running.size(); ++i)
            if (!running[i].answering) {
                out[i] = std::min(left, running[i].pending);
                left -= out[i];
            }
        return out;
    }

  private:
    static bool earlier(const Ticket& a, const Ticket& b) {
        return a.arrival != b.arrival ? a.arrival < b.arrival : a.id < b.id;
    }
    double level(const Ticket& t, double now) const {
        return t.priority + (options_.aging > 0 ? std::floor(std::max(0.0, now - t.arrival) / options_.aging) : 0.0);
    }

    Options options_;
    std::vector<Ticket> waiting_;
};

}  // namespace qwen3vl::engine
