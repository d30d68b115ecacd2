#pragma once
#include <cstdint>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::execution {

/// Runs everything on the calling thread.
struct Serial {
    static constexpr const char* name = "Serial";
    /// One thread, whatever is asked for.
    static int team_size(int /*threads*/) { return 1; }
    /// The calling thread.
    class Team {
      public:
        /// `threads` is not used: there is one.
        explicit Team(int /*threads*/) {}
        /// One.
        int threads() const { return 1; }
        /// Does nothing: there is one thread.
        void limit(int /*n*/) {}
        /// Does nothing: no thread waits.
        template <class Where>
        void prefetch(std::int64_t /*count*/, Where&& /*where*/) {}
        /// f(task, thread) for task 0 … count - 1.
        template <class F>
        void run(std::int64_t count, F&& f) {
            for (std::int64_t i = 0; i < count; ++i) f(i, 0);
        }
    };
};

}  // namespace qwen3vl::execution
