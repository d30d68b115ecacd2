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
    int n = 0;  ///< threads
};

namespace execution {

/// A team of std::threads, the caller one of them. Each begins with a share of consecutive tasks, so that it reads
/// memory from end to end, and steals from the others' ends when its own are done: a slow core holds nobody up. The
/// caller takes the tasks that a sleeping thread has not begun, and waits for tasks in progress alone. Each result is
/// computed whole by one thread, so their number does not change its bits. Between runs a thread spins briefly,
/// prefetching the memory that comes next, then sleeps.
template <ThreadCount Default = ThreadCount{}>
struct Threads {
    static constexpr const char* name = "Threads";

    /// Threads of a Team(threads); 0: the policy's default.
    static int team_size(int threads) {
        if (threads <= 0) threads = Default.n;
        return threads > 0 ? threads : physical_cores();
    }

    /// Belongs to one Session; run(), prefetch() and limit() are called by one thread at a time.
    class Team {
      public:
        /// `threads` 0: the policy's default. Throws OutOfMemory where the system gives fewer.
        explicit Team(int threads) : limit_(team_size(threads)), places_(static_cast<std::size_t>(team_size(threads))) {
            try {
                for (int t = 1; t < static_cast<int>(places_.size()); ++t)
                    workers_.emplace_back([this, t] { work(t); });
            } catch (const std::exception&) {  // bad_alloc, or system_error of the thread
                const std::string started = std::to_string(this->threads());
                dismiss();
                throw OutOfMemory("a team of " + std::to_string(places_.size()) + " threads: the system gives " +
                                  started + "; lower SessionOptions::threads");
            }
        }
        ~Team() { dismiss(); }
        Team(const Team&) = delete;
        Team& operator=(const Team&) = delete;

        /// Number of threads, the caller included; tasks get a thread number below it.
        int threads() const { return 1 + static_cast<int>(workers_.size()); }

        /// Limits the team to the caller and n - 1 others, the rest sleep; 0, or more than there are: all.
        void limit(int n) {
            if (n <= 0 || n > threads()) n = threads();
            if (n == limit_.load(std::memory_order_relaxed)) return;
            limit_.store(n, std::memory_order_release);
            limit_.notify_all();
        }

        /// Prefetch hint: `where(task)` is the address where each task of the next run() starts reading. Waiting
        /// threads prefetch the beginning of their share. The memory need not exist any more then.
        template <class Where>
        void prefetch(std::int64_t count, Where&& where) {
            const int n = limit_.load(std::memory_order_relaxed);
            for (int t = 0; t < n; ++t)
                if (const Tasks share = share_of(count, t, n); share.begin < share.end)
                    place(t).next.store(where(share.begin), std::memory_order_relaxed);
        }

        /// Calls f(task, thread) for tasks 0 … count - 1, on all threads; returns when all are done. Rethrows the first
        /// exception to the caller, and drops the tasks that nobody has begun. `count` is below 2^31.
        template <class F>
        void run(std::int64_t count, F&& f) {
            const int n = limit_.load(std::memory_order_relaxed);
            if (n == 1 || count <= 1) {
                for (std::int64_t i = 0; i < count; ++i) f(i, 0);
                return;
            }
            run_job({[](void* body, std::int64_t task, int thread) {
                         (*static_cast<std::remove_reference_t<F>*>(body))(task, thread);
                     },
                     static_cast<void*>(std::addressof(f))},
                    count, n);
        }

      private:
        struct Job {
            void (*call)(void*, std::int64_t, int) = nullptr;
            void* body = nullptr;
        };
        /// Tasks [begin, end) that nobody has begun.
        struct Tasks {
            std::int64_t begin, end;
            std::uint64_t packed() const {
                return static_cast<std::uint64_t>(begin) << 32 | static_cast<std::uint64_t>(end);
            }
            static Tasks of(std::uint64_t packed) {
                return {static_cast<std::int64_t>(packed >> 32), static_cast<std::int64_t>(packed & 0xffffffffu)};
            }
        };
        /// State of one thread.
        struct alignas(64) Place {
            std::atomic<std::uint64_t> tasks{0};
            std::atomic<const std::byte*> next{nullptr};  ///< memory that it will read
            const std::byte* asked = nullptr;             ///< end of the part prefetched so far
            const std::byte* asked_of = nullptr;          ///< `next` that `asked` belongs to
        };
        using Clock = std::chrono::steady_clock;
        /// Longest time that a worker spins for the next run(): longer than the gap between two layers', short beside a
        /// pause of the user.
        static constexpr Clock::duration pause = std::chrono::microseconds(50);
        /// Longest time that the caller spins for tasks in progress.
        static constexpr Clock::duration patience = std::chrono::milliseconds(1);
        /// After this a spinning thread lets others have its core: where there are more threads than cores, the one
        /// waited for may need it.
        static constexpr Clock::duration hold = std::chrono::microseconds(5);
        /// Bytes that a waiting thread asks for at most: they fit a second-level cache.
        static constexpr std::int64_t ask_most = 128 << 10;

        /// First share of a thread in `count` tasks.
        static Tasks share_of(std::int64_t count, int thread, int threads) {
            return {count * thread / threads, count * (thread + 1) / threads};
        }
        Place& place(int thread) { return places_[static_cast<std::size_t>(thread)]; }

        void dismiss() {
            stop_.store(true, std::memory_order_relaxed);
            limit_.store(threads(), std::memory_order_release);
            limit_.notify_all();
            begin();
            for (auto& w : workers_) w.join();
        }
        /// Common part of every run(): not inlined, so that programs do not compile it for each.
        [[gnu::noinline]] void run_job(const Job& job, std::int64_t count, int n) {
            job_ = job;
            failed_.store(false, std::memory_order_relaxed);
            done_.store(0, std::memory_order_relaxed);
            for (int t = 0; t < n; ++t) place(t).tasks.store(share_of(count, t, n).packed(), std::memory_order_release);
            begin();
            take_tasks(0);
            const auto all = static_cast<std::uint32_t>(count);
            for (auto done = done_.load(std::memory_order_acquire); done != all;
                 done = done_.load(std::memory_order_acquire))
                await(0, done_, done, patience);
            if (failed_.load(std::memory_order_relaxed)) std::rethrow_exception(std::exchange(error_, nullptr));
        }
        void begin() {
            round_.fetch_add(1, std::memory_order_release);
            round_.notify_all();
        }
        /// Waits until the value is no longer `old`.
        void await(int thread, const std::atomic<std::uint32_t>& value, std::uint32_t old, Clock::duration spin) {
            const auto start = Clock::now();
            for (auto waited = Clock::duration(0); waited < spin; waited = Clock::now() - start) {
                for (int i = 0; i < 8; ++i) {
                    if (value.load(std::memory_order_acquire) != old) return;
                    if (!ask(place(thread))) spin_pause();
                }
                if (waited > hold) std::this_thread::yield();
            }
            value.wait(old, std::memory_order_acquire);
        }
        /// Asks for a few lines more of what comes next; false if it has asked for enough.
        static bool ask(Place& p) {
            const std::byte* next = p.next.load(std::memory_order_relaxed);
            if (next != p.asked_of) p.asked = p.asked_of = next;
            if (!next || p.asked - next >= ask_most) return false;
            for (int i = 0; i < 4; ++i, p.asked += 64) ask_for_line(p.asked);
            return true;
        }
        /// The next task of a thread: the first of its own, then the last of another's; -1 if there is none.
        std::int64_t take(int thread) {
            const auto n = static_cast<int>(places_.size());
            for (int i = 0; i < n; ++i) {
                auto& tasks = place((thread + i) % n).tasks;
                for (auto packed = tasks.load(std::memory_order_relaxed);;) {
                    Tasks left = Tasks::of(packed);
                    if (left.begin >= left.end) break;
                    const std::int64_t task = i == 0 ? left.begin++ : --left.end;
                    if (tasks.compare_exchange_weak(packed, left.packed(), std::memory_order_acquire,
                                                    std::memory_order_relaxed))
                        return task;
                }
            }
            return -1;
        }
        /// A thread that comes late, from an earlier round even, finds nothing left or takes a task like any other:
        /// job_ stays while one is in progress.
        void take_tasks(int thread) {
            std::uint32_t done = 0;
            try {
                for (auto task = take(thread); task >= 0; task = take(thread)) {
                    ++done;
                    job_.call(job_.body, task, thread);
                }
            } catch (...) {
                if (!failed_.exchange(true)) error_ = std::current_exception();
                while (take(thread) >= 0) ++done;
            }
            if (done == 0) return;
            done_.fetch_add(done, std::memory_order_acq_rel);
            if (thread != 0) done_.notify_one();
        }
        void work(int thread) {
            for (std::uint32_t seen = 0;;) {
                await(thread, round_, seen, pause);
                seen = round_.load(std::memory_order_acquire);
                for (int n = limit_.load(std::memory_order_acquire); thread >= n;
                     n = limit_.load(std::memory_order_acquire))
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
        alignas(64) std::atomic<std::uint32_t> done_{0};
        std::atomic<bool> failed_{false};
        std::vector<Place> places_;
        std::vector<std::thread> workers_;
    };
};

}  // namespace execution
}  // namespace qwen3vl
