#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <qwen3vl/core/aligned.hpp>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/memory/arena.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>
#include "limit_kernels.hpp"

/// What a machine can do at most, measured beside the work that is compared with it.
namespace bench {

using Clock = std::chrono::steady_clock;
inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The CPU's name as the system tells it, and the instruction set the program is compiled for.
inline std::string machine() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.starts_with("model name"))
            return line.substr(line.find(':') + 2) + ", " + std::to_string(q::execution::physical_cores()) +
                   " cores, " + Arch::name;
    return std::string("unknown CPU, ") + Arch::name;
}

/// The compiled chains that a dense layer over a weight format may run on, exactly. The fastest of them is its limit: a
/// wider format's chain can beat the format's own (dot_bf16 has half the rate of fma_float32 on some CPUs). `tiles`:
/// whether AMX counts.
inline std::vector<const char*> chains_for_format(std::string_view format, bool tiles = true) {
    const auto of = [&](std::initializer_list<const char*> starts) {
        return std::any_of(starts.begin(), starts.end(), [&](const char* s) { return format.starts_with(s); });
    };
    std::vector<std::string_view> names = {"fma_float32"};
    if (format == "bf16") names = {"amx_bf16", "dot_bf16", "fma_float32"};
    if (of({"int8", "nf4"})) names = {"amx_int8", "dot_int8", "exact_int8"};
    if (of({"int4"})) names = {"amx_int8", "dot_int8", "exact_int4"};
    std::vector<const char*> compiled;
    for (const auto& c : chains())
        if (std::find(names.begin(), names.end(), c.name) != names.end() &&
            (tiles || !std::string_view(c.name).starts_with("amx")))
            compiled.push_back(c.name);
    return compiled.empty() ? std::vector{"fma_float32"} : compiled;
}

/// Memory that some work reads from end to end, piece after piece.
using Pieces = std::vector<std::span<const std::byte>>;

/// Limits for a number of threads. A question measures what it asks for the first time; again() measures it once more.
/// The best ever seen counts: neighbours on a shared machine can only make it slower.
class Limits {
  public:
    /// `threads` 0: the physical cores. `seconds`: the least time of one measurement of a chain: short, so that
    /// some pass undisturbed by other processes.
    explicit Limits(int threads, double seconds = 0.001) : team_(threads), seconds_(seconds) {}

    int threads() const { return team_.threads(); }

    /// Operations a second of a chain (see chains()) on all threads. Throws std::invalid_argument for a chain that is
    /// not compiled.
    double peak(std::string_view chain) {
        Peak& p = peaks_[find(chain).name];
        if (p.best == 0) measure_peak(find(chain), p);
        return p.best;
    }
    /// Bytes a second when all threads read `footprint` bytes again and again, by the best of several patterns.
    double read(std::int64_t footprint) { return streaming(footprint).read; }
    /// The same when what is written counts too, reading alone included.
    double move(std::int64_t footprint) { return streaming(footprint).move; }

    /// Bytes a second when all threads read these very pieces, each thread its part of each, by the best of several
    /// patterns: pages of a virtual machine are not all alike, and caches may hold a part.
    double read(const Pieces& pieces) {
        if (pieces_[pieces.front().data()] == 0) again(pieces);
        return pieces_[pieces.front().data()];
    }
    void again(const Pieces& pieces) {
        const std::size_t parts = static_cast<std::size_t>(team_.threads());
        double bytes = 0;
        for (const auto& p : pieces) bytes += static_cast<double>(p.size() / (parts * 4096) * parts * 4096);
        double& best = pieces_[pieces.front().data()];
        for (const auto& pattern : patterns()) {
            if (pattern.moved > 1) continue;
            const double time = best_time(1, [&](int thread) {
                for (const auto& p : pieces) {
                    const std::size_t part = p.size() / (parts * 4096) * 4096;
                    auto* first = const_cast<std::byte*>(p.data()) +
                                  static_cast<std::size_t>(thread) * part;  // patterns that write are left out
                    pattern.run(reinterpret_cast<float*>(first), static_cast<std::int64_t>(part / 4));
                }
            });
            best = std::max(best, bytes / time);
        }
    }

    void again(std::string_view chain) { measure_peak(find(chain), peaks_[find(chain).name]); }
    void again(std::int64_t footprint) { measure_streaming(footprint, streams_[rounded(footprint)]); }

    /// The pattern that was best at reading so far.
    const char* best_pattern(std::int64_t footprint) { return streaming(footprint).pattern; }

    /// Seconds for one line to travel from a core to another and back: what a meeting of two threads costs at least.
    static double round_trip() {
        double best = 1.0;
        constexpr int rounds = 2000;
        std::atomic<int> ball{0};
        std::thread other([&] {
            for (int i = 1; i <= rounds * 20; ++i) {
                while (ball.load(std::memory_order_acquire) != 2 * i - 1) q::execution::spin_pause();
                ball.store(2 * i, std::memory_order_release);
            }
        });
        for (int i = 1; i <= rounds * 20;) {
            const auto start = Clock::now();
            for (int r = 0; r < rounds; ++r, ++i) {
                ball.store(2 * i - 1, std::memory_order_release);
                while (ball.load(std::memory_order_acquire) != 2 * i) q::execution::spin_pause();
            }
            best = std::min(best, seconds_since(start) / rounds);
        }
        other.join();
        return best;
    }

  private:
    struct Peak {
        double best = 0;             ///< operations a second
        std::int64_t rounds = 1000;  ///< of one measurement
    };
    struct Streaming {
        double read = 0, move = 0;
        const char* pattern = "";
    };
    static constexpr std::int64_t unit = 16384;  ///< bytes that every pattern's streams divide
    std::int64_t rounded(std::int64_t footprint) const {
        return q::round_up(std::max<std::int64_t>(footprint, 1), unit * team_.threads());
    }

    static const Chain& find(std::string_view name) {
        for (const auto& c : chains())
            if (name == c.name) return c;
        throw std::invalid_argument("no chain '" + std::string(name) + "' is compiled for " + Arch::name);
    }

    /// Seconds of f(thread) on all threads at once, the best of a few.
    template <class F>
    double best_time(int repetitions, F&& f) {
        double best = 1e9;
        for (int i = 0; i < repetitions; ++i) {
            std::atomic<int> ready{0};
            std::atomic<std::int64_t> begin{0};
            team_.run(team_.threads(), [&](std::int64_t, int thread) {
                if (ready.fetch_add(1) + 1 == team_.threads()) begin.store(Clock::now().time_since_epoch().count());
                while (begin.load() == 0) q::execution::spin_pause();  // so that waking a thread does not count
                f(thread);
            });
            const Clock::time_point start{Clock::duration(begin.load())};
            best = std::min(best, seconds_since(start));
        }
        return best;
    }

    void measure_peak(const Chain& chain, Peak& p) {
        const auto time_rounds = [&](int repetitions) {
            return best_time(repetitions, [&](int) { chain.run(p.rounds); });
        };
        if (p.best == 0)
            for (double time = 0; (time = time_rounds(1)) < seconds_;) p.rounds *= time < seconds_ / 8 ? 4 : 2;
        p.best = std::max(
            p.best, static_cast<double>(p.rounds) * chain_count * chain.operations * team_.threads() / time_rounds(6));
    }

    Streaming& streaming(std::int64_t footprint) {
        Streaming& s = streams_[rounded(footprint)];
        if (s.read == 0) measure_streaming(footprint, s);
        return s;
    }
    void measure_streaming(std::int64_t footprint, Streaming& s) {
        const std::int64_t bytes = rounded(footprint), part = bytes / team_.threads();
        if (size_ < bytes) {
            memory_ = q::memory::Arena(bytes);
            data_ = reinterpret_cast<float*>(memory_.take(bytes));
            size_ = bytes;
            team_.run(bytes / unit,
                      [&](std::int64_t task, int) { std::fill_n(data_ + task * (unit / 4), unit / 4, 1.0f); });
        }
        const std::int64_t passes = std::max<std::int64_t>(1, (std::int64_t{8} << 20) / bytes);
        for (const auto& pattern : patterns()) {
            const double time = best_time(bytes > (std::int64_t{64} << 20) ? 1 : 6, [&](int thread) {
                for (std::int64_t i = 0; i < passes; ++i) pattern.run(data_ + thread * part / 4, part / 4);
            });
            const double rate = static_cast<double>(pattern.moved * bytes * passes) / time;
            s.move = std::max(s.move, rate);
            if (pattern.moved == 1 && rate > s.read) {
                s.read = rate;
                s.pattern = pattern.name;
            }
        }
    }

    q::execution::Threads<>::Team team_;
    double seconds_;
    std::map<std::string_view, Peak> peaks_;
    std::map<std::int64_t, Streaming> streams_;
    std::map<const std::byte*, double> pieces_;  ///< by the first piece
    q::memory::Arena memory_;
    float* data_ = nullptr;
    std::int64_t size_ = 0;
};

/// A part of some work: arithmetic on one format's weights, and bytes that pass.
struct Part {
    double operations = 0;
    const char* format = "float32";  ///< of the weights: see chains_for_format
    double bytes = 0;                ///< read, or read and written
    std::int64_t footprint = 0;      ///< bytes of memory that the bytes come from
    bool writes = false;             ///< whether `bytes` counts written ones
    const Pieces* pieces = nullptr;  ///< where the bytes come from, if that is known better
};

/// Seconds that a part takes at least: it is bound by arithmetic or by memory. `tiles`: whether AMX counts.
inline double least_seconds(Limits& limits, const Part& p, bool tiles = true) {
    double peak = 0.0;
    if (p.operations > 0)
        for (const char* chain : chains_for_format(p.format, tiles)) peak = std::max(peak, limits.peak(chain));
    const double arithmetic = p.operations > 0 ? p.operations / peak : 0.0;
    if (p.bytes == 0) return arithmetic;
    const double memory = p.bytes / (p.pieces   ? limits.read(*p.pieces)
                                     : p.writes ? limits.move(p.footprint)
                                                : limits.read(p.footprint));
    return std::max(arithmetic, memory);
}

/// Measures the limits of a part once more.
inline void again(Limits& limits, const Part& p) {
    if (p.operations > 0)
        for (const char* chain : chains_for_format(p.format)) limits.again(chain);
    if (p.pieces)
        limits.again(*p.pieces);
    else if (p.bytes > 0)
        limits.again(p.footprint);
}

}  // namespace bench
