// Memory policies: taking a session's block from the system with its pages, and handing out parts of it.
#include <qwen3vl/memory/arena.hpp>
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;
using Memories = q::list<q::memory::Arena>;

/// The limit is writing to pages that are there already.
template <class Memory>
void add_pages(std::int64_t mebibytes) {
    bench::add("memory/" + std::string(Memory::name) + "/pages/MiB:" + std::to_string(mebibytes), [=](benchmark::State& state) {
        const std::int64_t bytes = mebibytes << 20;
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true}, bytes / 4096, [&] {
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
    bench::add("memory/" + std::string(Memory::name) + "/take/blocks:" + std::to_string(blocks), [=](benchmark::State& state) {
        std::vector<std::byte*> taken(static_cast<std::size_t>(blocks));
        constexpr std::int64_t size = 1000;
        const std::int64_t bytes = blocks * static_cast<std::int64_t>(sizeof taken[0]);
        bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true}, blocks, [&] {
            Memory memory(blocks * Memory::footprint(size));
            for (auto& p : taken) p = memory.take(size);
            benchmark::ClobberMemory();
        });
    });
}

}  // namespace

int main(int argc, char** argv) {
    q::for_each_type<Memories>([]<class T>(T) {
        for (const int mebibytes : {1, 64, 512}) add_pages<typename T::type>(mebibytes);
        add_take<typename T::type>(4096);
    });
    return bench::run(argc, argv);
}
