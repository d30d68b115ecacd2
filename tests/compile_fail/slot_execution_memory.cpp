// expect: qwen3vl: slot execution: the policy lacks its name
// expect: qwen3vl: slot execution: the policy lacks a Team, made of a number of threads
// expect: qwen3vl: slot execution: the policy lacks team_size(threads)
// expect: qwen3vl: slot execution: the policy lacks Team::run(count, f(task, thread)) or Team::limit(threads)
// expect: qwen3vl: slot memory: the policy lacks footprint(bytes), or is not made of a number of bytes
// expect: qwen3vl: slot memory: the policy lacks take(bytes)
// expect: qwen3vl: slot arch: the policy lacks its name, floats, compiled or supported()
// errors: 7
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
template <class P>
using With = q::Model<q::models::Tiny, q::Policies<>::with_execution<P>>;
template <class P>
using WithMemory = q::Model<q::models::Tiny, q::Policies<>::with_memory<P>>;
struct NoSize {
    static constexpr const char* name = "NoSize";
    struct Team {
        explicit Team(int);
        int threads() const;
    };
};
struct NoRun : NoSize {
    static int team_size(int);
};
struct NoTake {
    static constexpr const char* name = "NoTake";
    explicit NoTake(std::int64_t);
    static std::int64_t footprint(std::int64_t);
};
using M0 = With<int>;
using M1 = With<q::memory::Arena>;
using M2 = With<NoSize>;
using M3 = With<NoRun>;
using M4 = WithMemory<q::execution::Serial>;
using M5 = WithMemory<NoTake>;
using M6 = q::Model<q::models::Tiny, q::Policies<>::with_arch<q::norm::RMSNorm>>;
