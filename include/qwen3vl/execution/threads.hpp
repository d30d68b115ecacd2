#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/execution/cpu.hpp>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A number of threads, as a template argument; 0: the physical cores.
struct ThreadCount {
    int n = 0;
};

namespace execution {

/// A team of std::threads, the caller one of them. Tasks are handed out one by one, so a slow core holds nobody up: the caller takes what a thread that
/// still sleeps has not begun, and waits for tasks in progress alone. Each result is computed whole by one thread, so their number does not change its
/// bits. Between pieces of work a thread spins briefly, then sleeps.
template <ThreadCount Default = ThreadCount{}>
struct Threads {
    static constexpr const char* name = "Threads";

    /// Threads of a Team(threads); 0: the policy's default.
    static int team_size(int threads) {
        if (threads <= 0) threads = Default.n;
        return threads > 0 ? threads : physical_cores();
    }

    /// Belongs to one Session; run() and limit() are called by one thread at a time.
    class Team {
      public:
        /// `threads` 0: the policy's default. Throws OutOfMemory where the system gives fewer.
        explicit Team(int threads) : limit_(team_size(threads)) {
            const int size = team_size(threads);
            try {
                for (int t = 1; t < size; ++t) workers_.emplace_back([this, t] { work(t); });
            } catch (const std::exception&) {  // bad_alloc, or system_error of the thread
                const std::string started = std::to_string(this->threads());
                dismiss();
                throw OutOfMemory("a team of " + std::to_string(size) + " threads: the system gives " + started + "; lower SessionOptions::threads");
            }
        }
        ~Team() { dismiss(); }
        Team(const Team&) = delete;
        Team& operator=(const Team&) = delete;

        /// The numbers that tasks may see as their thread's are below this.
        int threads() const { return 1 + static_cast<int>(workers_.size()); }

        /// From now on the caller and n - 1 others work, the rest sleep; 0, or more than there are: all.
        void limit(int n) {
            if (n <= 0 || n > threads()) n = threads();
            if (n == limit_.load(std::memory_order_relaxed)) return;
            limit_.store(n, std::memory_order_release);
            limit_.notify_all();
        }

        /// f(task, thread) for task 0 … count - 1, on all threads; returns when all are done. The first exception is thrown on to the caller, and tasks
        /// that nobody has begun are dropped then. `count` is below 2^32.
        template <class F>
        void run(std::int64_t count, F&& f) {
            if (limit_.load(std::memory_order_relaxed) == 1 || count <= 1) {
                for (std::int64_t i = 0; i < count; ++i) f(i, 0);
                return;
            }
            job_ = {[](void* body, std::int64_t task, int thread) { (*static_cast<std::remove_reference_t<F>*>(body))(task, thread); },
                    static_cast<void*>(std::addressof(f)), count};
            failed_.store(false, std::memory_order_relaxed);
            done_.store(0, std::memory_order_relaxed);
            left_.store(count, std::memory_order_release);
            begin();
            take_tasks(0);
            const auto all = static_cast<std::uint32_t>(count);
            for (auto done = done_.load(std::memory_order_acquire); done != all; done = done_.load(std::memory_order_acquire)) await(done_, done, patience);
            if (failed_.load(std::memory_order_relaxed)) std::rethrow_exception(std::exchange(error_, nullptr));
        }

      private:
        struct Job {
            void (*call)(void*, std::int64_t, int) = nullptr;
            void* body = nullptr;
            std::int64_t count = 0;
        };
        using Clock = std::chrono::steady_clock;
        /// How long a worker spins for the next piece of work: longer than the gap between two layers', short beside a pause of the user.
        static constexpr Clock::duration pause = std::chrono::microseconds(50);
        /// How long the caller spins for tasks in progress.
        static constexpr Clock::duration patience = std::chrono::milliseconds(1);
        /// After this a spinning thread lets others have its core: where there are more threads than cores, the one waited for may need it.
        static constexpr Clock::duration hold = std::chrono::microseconds(5);

        void dismiss() {
            stop_.store(true, std::memory_order_relaxed);
            limit_.store(threads(), std::memory_order_release);
            limit_.notify_all();
            begin();
            for (auto& w : workers_) w.join();
        }
        void begin() {
            round_.fetch_add(1, std::memory_order_release);
            round_.notify_all();
        }
        /// Until the value is no longer `old`.
        static void await(const std::atomic<std::uint32_t>& value, std::uint32_t old, Clock::duration spin) {
            const auto start = Clock::now();
            for (auto waited = Clock::duration(0); waited < spin; waited = Clock::now() - start) {
                for (int i = 0; i < 8; ++i) {
                    if (value.load(std::memory_order_acquire) != old) return;
                    spin_pause();
                }
                if (waited > hold) std::this_thread::yield();
            }
            value.wait(old, std::memory_order_acquire);
        }
        /// A thread that comes late, from an earlier round even, finds nothing left or takes a task like any other: job_ stays while one is in progress.
        void take_tasks(int thread) {
            std::uint32_t done = 0;
            try {
                for (auto left = left_.fetch_sub(1, std::memory_order_acquire); left > 0; left = left_.fetch_sub(1, std::memory_order_acquire)) {
                    ++done;
                    job_.call(job_.body, job_.count - left, thread);
                }
            } catch (...) {
                if (!failed_.exchange(true)) error_ = std::current_exception();
                const auto dropped = left_.exchange(0, std::memory_order_acquire);
                if (dropped > 0) done += static_cast<std::uint32_t>(dropped);
            }
            if (done == 0) return;
            done_.fetch_add(done, std::memory_order_acq_rel);
            if (thread != 0) done_.notify_one();
        }
        void work(int thread) {
            for (std::uint32_t seen = 0;;) {
                await(round_, seen, pause);
                seen = round_.load(std::memory_order_acquire);
                for (int n = limit_.load(std::memory_order_acquire); thread >= n; n = limit_.load(std::memory_order_acquire))
                    limit_.wait(n, std::memory_order_acquire);
                if (stop_.load(std::memory_order_relaxed)) return;
                take_tasks(thread);
            }
        }

        Job job_;
        std::exception_ptr error_;
        alignas(64) std::atomic<std::uint32_t> round_{0};
        std::atomic<int> limit_;
        std::atomic<bool> stop_{false};
        alignas(64) std::atomic<std::int64_t> left_{0};
        alignas(64) std::atomic<std::uint32_t> done_{0};
        std::atomic<bool> failed_{false};
        std::vector<std::thread> workers_;
    };
};

}  // namespace execution
}  // namespace qwen3vl
