#pragma once
#include <atomic>
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

/// A team of std::threads, the caller one of them. Tasks are handed out one by one, so a slow core holds nobody up; each result is computed
/// whole by one thread, so their number does not change its bits. Between pieces of work a thread spins briefly, then sleeps.
template <ThreadCount Default = ThreadCount{}>
struct Threads {
    static constexpr const char* name = "Threads";

    /// Threads of a Team(threads); 0: the policy's default.
    static int team_size(int threads) {
        if (threads <= 0) threads = Default.n;
        return threads > 0 ? threads : physical_cores();
    }

    /// Belongs to one Session; run() is called by one thread at a time.
    class Team {
      public:
        /// `threads` 0: the policy's default. Throws OutOfMemory where the system gives fewer.
        explicit Team(int threads) {
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

        int threads() const { return 1 + static_cast<int>(workers_.size()); }

        /// f(task, thread) for task 0 … count - 1, on all threads; returns when all are done. The first exception is thrown on to the caller.
        template <class F>
        void run(std::int64_t count, F&& f) {
            if (workers_.empty() || count <= 1) {
                for (std::int64_t i = 0; i < count; ++i) f(i, 0);
                return;
            }
            job_ = {[](void* body, std::int64_t task, int thread) { (*static_cast<std::remove_reference_t<F>*>(body))(task, thread); },
                    static_cast<void*>(std::addressof(f)), count};
            next_.store(0, std::memory_order_relaxed);
            failed_.store(false, std::memory_order_relaxed);
            running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
            begin();
            take_tasks(0);
            for (int left = running_.load(std::memory_order_acquire); left > 0; left = running_.load(std::memory_order_acquire)) await(running_, left);
            if (failed_.load(std::memory_order_relaxed)) std::rethrow_exception(std::exchange(error_, nullptr));
        }

      private:
        struct Job {
            void (*call)(void*, std::int64_t, int) = nullptr;
            void* body = nullptr;
            std::int64_t count = 0;
        };
        static constexpr int spins = 4000;  // some 50 microseconds: longer than the gap between two layers' work, short beside a pause of the user

        void dismiss() {
            job_.call = nullptr;
            begin();
            for (auto& w : workers_) w.join();
        }
        void begin() {
            round_.fetch_add(1, std::memory_order_release);
            round_.notify_all();
        }
        /// Until the value is no longer `old`.
        template <class T>
        static void await(const std::atomic<T>& value, T old) {
            for (int i = 0; i < spins; ++i) {
                if (value.load(std::memory_order_acquire) != old) return;
                spin_pause();
            }
            value.wait(old, std::memory_order_acquire);
        }
        void take_tasks(int thread) {
            try {
                for (std::int64_t i = next_.fetch_add(1, std::memory_order_relaxed); i < job_.count; i = next_.fetch_add(1, std::memory_order_relaxed))
                    job_.call(job_.body, i, thread);
            } catch (...) {
                next_.store(job_.count, std::memory_order_relaxed);
                if (!failed_.exchange(true)) error_ = std::current_exception();
            }
        }
        void work(int thread) {
            for (unsigned seen = 0;;) {
                await(round_, seen);
                seen = round_.load(std::memory_order_acquire);
                if (!job_.call) return;
                take_tasks(thread);
                if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
            }
        }

        Job job_;
        std::exception_ptr error_;
        alignas(64) std::atomic<unsigned> round_{0};
        alignas(64) std::atomic<std::int64_t> next_{0};
        alignas(64) std::atomic<int> running_{0};
        std::atomic<bool> failed_{false};
        std::vector<std::thread> workers_;
    };
};

}  // namespace execution
}  // namespace qwen3vl
