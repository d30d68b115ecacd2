#include <atomic>
#include <filesystem>
#include <fstream>
#include <qwen3vl/model/stream_window.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <thread>
#include "catch.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl;

namespace stream_window_test {

/// A file of parts of odd lengths, each filled with its number, in a window of `slots`.
struct Parts {
    static constexpr int count = 13;
    TemporaryFolder folder;
    std::vector<detail::StreamWindow::Run> runs;
    std::string content = std::string(64, '?');  // what stands before them
    std::unique_ptr<detail::StreamWindow> window;

    explicit Parts(int slots) {
        std::int64_t largest = 0;
        for (int i = 0; i < count; ++i) {
            const std::int64_t bytes = 64 * (1 + 37 * i % 200);
            runs.push_back({static_cast<std::int64_t>(content.size()), bytes, i % slots, (i + 1) % count});
            content += std::string(static_cast<std::size_t>(bytes), static_cast<char>('a' + i));
            largest = std::max(largest, detail::StreamPlan::whole_pages(bytes));
        }
        folder.write("parts", content);
        window = std::make_unique<detail::StreamWindow>(runs, slots, largest, largest);
        window->start(UncachedFile(folder.file("parts")));
    }
    /// Whether a part that is held is whole.
    bool whole(int i) const {
        const auto bytes = static_cast<std::size_t>(runs[static_cast<std::size_t>(i)].bytes);
        return std::string(reinterpret_cast<const char*>(window->at(i)), bytes) ==
               std::string(bytes, static_cast<char>('a' + i));
    }
};

TEST_CASE("a part is in its slot while it is held, in any order of use") {
    for (const int slots : {2, 3, 5, 13, 20}) {
        const Parts parts(slots);
        testing::Rng rng(3);
        for (int round = 0; round < 200; ++round) {
            const int i = round < 60 ? round % Parts::count : rng.below(Parts::count);
            const auto held = parts.window->hold(i);
            CAPTURE(slots, round, i);
            REQUIRE(parts.whole(i));
        }
    }
}

TEST_CASE("a window that holds all of them reads each once") {
    const Parts parts(Parts::count);
    std::int64_t bytes = 0;
    for (const auto& run : parts.runs) bytes += run.bytes;
    for (int round = 0; round < 3 * Parts::count; ++round) const auto held = parts.window->hold(round % Parts::count);
    CHECK(parts.window->counts().bytes == bytes);
}

TEST_CASE("parts in their order are read once each, ahead of their use") {
    const Parts parts(3);
    std::int64_t bytes = 0;
    for (const auto& run : parts.runs) bytes += run.bytes;
    for (int round = 0; round < 5 * Parts::count; ++round) const auto held = parts.window->hold(round % Parts::count);
    CHECK(parts.window->counts().bytes >= 5 * bytes);
    CHECK(parts.window->counts().bytes <= 5 * bytes + 2 * 64 * 200);  // the two that come next
}

TEST_CASE("threads that hold different parts of one slot take turns") {
    for (const int slots : {2, 4}) {
        const Parts parts(slots);
        std::atomic<int> wrong{0};
        {
            std::vector<std::jthread> threads;
            for (std::uint64_t t = 0; t < 6; ++t)
                threads.emplace_back([&, t] {
                    testing::Rng rng(t);
                    for (int round = 0; round < 300; ++round) {
                        const int i = t % 2 ? rng.below(Parts::count) : (round + static_cast<int>(t)) % Parts::count;
                        const auto held = parts.window->hold(i);
                        wrong += !parts.whole(i);
                        parts.window->read(parts.runs[5].offset, 64,
                                           [&](const std::byte* data) { wrong += data[63] != std::byte{'f'}; });
                    }
                });
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("a part that cannot be read is an error for everyone who waits, until it can") {
    const Parts parts(3);
    const std::string path = parts.folder.file("parts");
    const auto last = Parts::count - 1;
    std::filesystem::resize_file(path, static_cast<std::uintmax_t>(parts.runs[last].offset));
    std::atomic<int> errors{0};
    const auto try_all = [&] {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&] {
                for (int i = 0; i < Parts::count; ++i) try {
                        const auto held = parts.window->hold(i);
                        errors += !parts.whole(i);
                    } catch (const FileError&) {
                        errors += i == last ? 1 : 100;
                    }
            });
    };
    try_all();
    CHECK(errors == 4);
    std::ofstream(path, std::ios::binary | std::ios::in) << parts.content;
    errors = 0;
    try_all();
    CHECK(errors == 0);
}

TEST_CASE("a window may end while parts are read ahead") {
    for (int i = 0; i < 20; ++i) {
        const Parts parts(4);
        const auto held = parts.window->hold(i % Parts::count);
    }
    SUCCEED();
}

}  // namespace stream_window_test
