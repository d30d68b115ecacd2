// Memory policies: taking a session's block from the system with its pages, handing out parts of it, beside malloc
// serving a model that allocates what it needs when it needs it, and bringing back from disk what was idle.
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <qwen3vl/memory/memory.hpp>
#include <qwen3vl/model/session_plan.hpp>
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;

/// The limit is writing to pages that are there already.
template <class Memory>
void add_pages(std::int64_t mebibytes) {
    bench::add("memory/" + std::string(Memory::name) + "/pages/MiB:" + std::to_string(mebibytes),
               [=](benchmark::State& state) {
                   const std::int64_t bytes = mebibytes << 20;
                   bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true},
                                  bytes / 4096, [&] {
                                      Memory memory(bytes);
                                      std::byte* data = memory.take(bytes);
                                      for (std::int64_t i = 0; i < bytes; i += 4096) data[i] = std::byte{1};
                                      benchmark::ClobberMemory();
                                  });
               });
}

/// A session's blocks; the limit is writing their addresses.
template <class Memory>
void add_take(std::int64_t blocks) {
    bench::add("memory/" + std::string(Memory::name) + "/take/blocks:" + std::to_string(blocks),
               [=](benchmark::State& state) {
                   std::vector<std::byte*> taken(static_cast<std::size_t>(blocks));
                   constexpr std::int64_t size = 1000;
                   const std::int64_t bytes = blocks * static_cast<std::int64_t>(sizeof taken[0]);
                   bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true},
                                  blocks, [&] {
                                      Memory memory(blocks * Memory::footprint(size));
                                      for (auto& p : taken) p = memory.take(size);
                                      benchmark::ClobberMemory();
                                  });
               });
}

/// Allocations and frees in their order.
class Trace {
  public:
    struct Step {
        std::int64_t bytes;  ///< -1: free
        std::size_t block;   ///< [blocks]
    };
    std::size_t allocate(std::int64_t bytes) {
        if (unused_.empty()) unused_.push_back(blocks_++);
        const std::size_t block = unused_.back();
        unused_.pop_back();
        steps_.push_back({bytes, block});
        return block;
    }
    void free(std::size_t block) {
        steps_.push_back({-1, block});
        unused_.push_back(block);
    }
    const std::vector<Step>& steps() const { return steps_; }
    std::size_t blocks() const { return blocks_; }

  private:
    std::vector<Step> steps_;
    std::vector<std::size_t> unused_;
    std::size_t blocks_ = 0;
};

/// The policies of the trace's sizes: the defaults.
using Defaults = q::Policies<>;

/// One pass of `tokens` tokens through the layers, had nothing been planned: every layer allocates its activations and
/// frees them, in the order of the plan.
void pass_layers(Trace& trace, int context, int tokens) {
    for (int layer = 0; layer < bench::Full::text.layers; ++layer) {
        std::vector<std::size_t> taken;
        q::detail::for_each_session_block<bench::Full, Defaults>(
            {.context = context, .chunk = tokens}, 2,
            [&](std::string_view part, std::int64_t bytes, const q::memory::Role&) {
                if (part == "activations" || part == "attention scratch") taken.push_back(trace.allocate(bytes));
            });
        for (const std::size_t block : taken) trace.free(block);
    }
}

/// Prompts with pictures, in sessions of different lengths, three of them open at a time.
Trace prefill_trace() {
    Trace trace;
    std::minstd_rand random(1);
    std::deque<std::vector<std::size_t>> sessions;
    const auto close = [&] {
        for (const std::size_t block : sessions.front()) trace.free(block);
        sessions.pop_front();
    };
    for (int i = 0; i < 12; ++i) {
        const int prompt = 100 + static_cast<int>(random() % 1500), context = prompt + 256;
        auto& kept = sessions.emplace_back();
        q::detail::for_each_session_block<bench::Full, Defaults>(
            {.context = context}, 2, [&](std::string_view part, std::int64_t bytes, const q::memory::Role&) {
                if (part == "kv_cache" || part == "logits") kept.push_back(trace.allocate(bytes));
            });
        constexpr q::VisionDims v = bench::Full::vision;
        const q::Grid grid{1, v.merge * (4 + static_cast<int>(random() % 16)),
                           v.merge * (4 + static_cast<int>(random() % 16))};
        const auto floats = [&](std::int64_t count) {
            return trace.allocate(count * static_cast<std::int64_t>(sizeof(float)));
        };
        const std::size_t patches = floats(grid.patches() * v.patch_values());
        std::int64_t bytes = 0;
        q::vision::Buffers<>(v, grid).visit<Defaults::Arch, q::detail::TowerSlots<Defaults>>(
            2, [&](const char*, std::byte*&, std::int64_t block, const q::memory::Role&) { bytes += block; });
        const std::size_t workspace = trace.allocate(bytes);
        for (int f = 0; f < 1 + v.deepstack_count; ++f) kept.push_back(floats(grid.merged(v.merge) * v.out));
        trace.free(workspace);
        trace.free(patches);
        for (int done = 0; done < prompt; done += 512) pass_layers(trace, context, std::min(512, prompt - done));
        if (sessions.size() == 3) close();
    }
    while (!sessions.empty()) close();
    return trace;
}

/// Tokens decoded one after another: blocks of 256 bytes to 800 KiB.
Trace decode_trace() {
    Trace trace;
    for (int token = 0; token < 20; ++token) pass_layers(trace, 4096, 1);
    return trace;
}

struct Malloc {
    static constexpr const char* name = "malloc";
    explicit Malloc(std::int64_t) {}
    void* allocate(std::int64_t bytes) { return std::malloc(static_cast<std::size_t>(bytes)); }
    void free(void* p) { std::free(p); }
};

/// after(step) sees the allocator after each of them.
template <class Allocator, class After>
void replay(const Trace& trace, Allocator& allocator, std::vector<void*>& blocks, After&& after) {
    for (const auto& step : trace.steps()) {
        void*& p = blocks[step.block];
        if (step.bytes < 0)
            allocator.free(p);
        else
            benchmark::DoNotOptimize(p = allocator.allocate(step.bytes));
        after(step);
    }
}

/// A trace through an allocator; the limit is writing the addresses. No block is written to: pages that malloc gives
/// back to the system and takes anew cost nothing here beyond its own calls. Counters: how many times as fast as
/// malloc, both at their best in turns; the means over the steps of the bytes lost to rounding, as a share of those in
/// use, and of external fragmentation.
template <class Allocator>
void add_trace(const char* name, const Trace& trace) {
    bench::add("memory/" + std::string(Allocator::name) + "/trace/" + name, [=](benchmark::State& state) {
        std::vector<void*> blocks(trace.blocks());
        const auto none = [](const Trace::Step&) {};
        std::int64_t held = 0, peak = 0;
        std::vector<std::int64_t> sizes(trace.blocks());
        for (const auto& step : trace.steps()) {
            if (step.bytes >= 0) sizes[step.block] = q::memory::BuddyPool::footprint(step.bytes);
            held += step.bytes < 0 ? -sizes[step.block] : sizes[step.block];
            peak = std::max(peak, held);
        }
        Allocator allocator(peak + peak / 4);
        const auto items = static_cast<std::int64_t>(trace.steps().size());
        const std::int64_t bytes = items * static_cast<std::int64_t>(sizeof(void*));
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true}, items,
                       [&] { replay(trace, allocator, blocks, none); });
        if constexpr (requires { allocator.statistics(); }) {
            double internal = 0, external = 0;
            replay(trace, allocator, blocks, [&](const Trace::Step&) {
                const auto s = allocator.statistics();
                internal += s.in_use > 0
                                ? static_cast<double>(s.internal_fragmentation()) / static_cast<double>(s.in_use)
                                : 0.0;
                external += s.external_fragmentation();
            });
            state.counters["internal"] = internal / static_cast<double>(items);
            state.counters["external"] = external / static_cast<double>(items);
            Malloc other(0);
            double own_best = 1e9, other_best = 1e9;
            for (int turn = 0; turn < 10; ++turn) {
                auto start = bench::Clock::now();
                replay(trace, allocator, blocks, none);
                own_best = std::min(own_best, bench::seconds_since(start));
                start = bench::Clock::now();
                replay(trace, other, blocks, none);
                other_best = std::min(other_best, bench::seconds_since(start));
            }
            state.counters["x_malloc"] = other_best / own_best;
        }
    });
}

/// The same, for policies that take blocks back.
template <class Memory>
void add_traces() {
    if constexpr (requires(Memory & m, void* p) { m.free(p); }) {
        add_trace<Memory>("prefill", prefill_trace());
        add_trace<Memory>("decode", decode_trace());
    }
}

/// Groups that take turns in a pool with room for one: bytes that come back from disk. x_disk: as a share of the rate
/// at which one file is read from its beginning to its end, both at their best in turns.
void add_return(std::int64_t mebibytes) {
    bench::add("memory/Tiered/return/MiB:" + std::to_string(mebibytes), [=](benchmark::State& state) {
        const std::int64_t bytes = mebibytes << 20;
        const std::string folder = std::filesystem::temp_directory_path();
        q::memory::Tiers tiers({.folder = folder, .attention = bytes});
        q::memory::Tiered memory(2 * bytes, &tiers);
        const auto role = [](int i) {
            return q::memory::Role{q::memory::Pool::attention, q::memory::Content::kept, i};
        };
        for (int i = 0; i < 2; ++i) std::memset(memory.take(bytes, role(i)), 1 + i, static_cast<std::size_t>(bytes));
        memory.settle();
        int turn = 0;
        const auto next = [&] { const auto held = memory.hold(role(turn++ % 2), false); };
        next();
        next();
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true}, 1, next);
        q::ScratchFile file(folder, bytes);
        q::memory::Pages pages(bytes);
        const std::span<std::byte> all(pages.data(), static_cast<std::size_t>(bytes));
        std::fill(all.begin(), all.end(), std::byte{3});
        file.write(0, all);
        double own_best = 1e9, other_best = 1e9;
        for (int i = 0; i < 5; ++i) {
            auto start = bench::Clock::now();
            next();
            own_best = std::min(own_best, bench::seconds_since(start));
            start = bench::Clock::now();
            file.read(0, all);
            other_best = std::min(other_best, bench::seconds_since(start));
        }
        state.counters["x_disk"] = other_best / own_best;
    });
}

}  // namespace

int main(int argc, char** argv) {
    q::for_each_type<q::memory::all>([]<class T>(T) {
        for (const int mebibytes : {1, 64, 512}) add_pages<typename T::type>(mebibytes);
        add_take<typename T::type>(4096);
        add_traces<typename T::type>();
    });
    add_traces<Malloc>();
    for (const int mebibytes : {1, 64}) add_return(mebibytes);
    return bench::run(argc, argv);
}
