#pragma once
#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/scratch_file.hpp>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Older tiles in a file, and frames of memory that they are read into, shared by the layers of a session. Two threads
/// of its own read ahead: the disk works while an earlier frame is computed with, and has a second request at hand.
/// Used by one thread at a time, apart from at().
class TileStore {
  public:
    /// Entries in a row of the file, the first at byte `begin`, `stride` bytes from one to the next.
    struct Span {
        std::int64_t begin = 0, count = 0, stride = 0;  ///< bytes, but for count
    };
    /// Frames: one that is computed with, the others on their way.
    static constexpr std::int64_t frames = 4;
    static constexpr std::int64_t ahead = frames - 1;  ///< frames that may be on their way

    /// Bytes of memory that the frames take, alignment included.
    static std::int64_t memory_bytes(std::int64_t frame_bytes) { return frames * frame_bytes + ScratchFile::block; }

    /// `memory`: memory_bytes(frame_bytes) that the caller owns. Throws FileError where the file cannot be made,
    /// OutOfMemory where the system gives no thread.
    TileStore(const std::string& folder, std::int64_t file_bytes, std::byte* memory, std::int64_t frame_bytes)
        : file_(folder, file_bytes), memory_(aligned(memory)), frame_bytes_(frame_bytes) {
        const auto words = static_cast<std::size_t>(
            ceil_div(frame_bytes / ScratchFile::block, 64));  // an entry takes a block at least
        wanted_.resize(words);
        for (Frame& f : frames_)
            for (Bits* bits : {&f.held, &f.todo, &f.now}) bits->resize(words);
        try {
            for (auto& reader : readers_) reader = std::thread([this] { work(); });
        } catch (const std::exception&) {  // bad_alloc, or system_error of the thread
            dismiss();
            throw OutOfMemory("a thread that reads tiles from disk: the system gives none");
        }
    }
    TileStore(const TileStore&) = delete;
    TileStore& operator=(const TileStore&) = delete;
    ~TileStore() { dismiss(); }

    /// Bytes of a frame.
    std::int64_t frame_bytes() const { return frame_bytes_; }
    /// The file, whose size and bytes tell what is on disk.
    const ScratchFile& file() const { return file_; }
    /// Bytes read into frames so far. Waits for the tiles asked for.
    std::int64_t bytes_read() {
        std::unique_lock lock(mutex_);
        for (const Frame& f : frames_) done_.wait(lock, [&] { return !f.asked && !f.reading; });
        return bytes_read_;
    }

    /// Begins to read entries of a span, which fits a frame: for_each_wanted(want) calls want(i) for each. Another
    /// `ahead` asked for before it are kept.
    template <class F>
    void ask(const Span& span, F&& for_each_wanted) {
        std::fill(wanted_.begin(), wanted_.end(), 0);
        for_each_wanted(
            [&](std::int64_t i) { wanted_[static_cast<std::size_t>(i / 64)] |= std::uint64_t{1} << i % 64; });
        post(span);
    }
    /// Waits for what was asked for of the span that begins there, which then lies at at() until release() or another
    /// await(). Throws FileError.
    void await(std::int64_t begin) {
        std::unique_lock lock(mutex_);
        in_use_ = nullptr;
        Frame* f = find(begin);
        if (!f) return;
        done_.wait(lock, [&] { return !f->asked && !f->reading; });
        if (f->error) std::rethrow_exception(std::exchange(f->error, nullptr));
        in_use_ = f;
        at_use_ = data(*f) - begin;
    }
    /// The frame that await() gave is free for others.
    void release() { in_use_ = nullptr; }
    /// A position of the file in the frame that await() gave.
    std::byte* at(std::int64_t position) const { return at_use_ + position; }

    /// Reads whole blocks to aligned memory, on the calling thread. Throws FileError.
    void read(std::int64_t position, std::span<std::byte> out) const { file_.read(position, out); }
    /// Writes whole blocks from aligned memory; frames forget what they hold of them. Throws FileError.
    void write(std::int64_t position, std::span<const std::byte> bytes) {
        {
            std::unique_lock lock(mutex_);
            const std::int64_t end = position + static_cast<std::int64_t>(bytes.size());
            for (Frame& f : frames_)
                if (f.span.begin < end && position < f.span.begin + f.span.count * f.span.stride) forget(f, lock);
        }
        file_.write(position, bytes);
    }

  private:
    using Bits = std::vector<std::uint64_t>;  // one for each entry
    struct Frame {
        Span span;
        Bits held, todo, now;    ///< entries there, asked for, being read
        std::uint64_t turn = 0;  ///< when it was asked for last
        bool asked = false, reading = false;
        std::exception_ptr error;
    };

    void dismiss() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        asked_.notify_all();
        for (auto& reader : readers_)
            if (reader.joinable()) reader.join();
    }
    static std::byte* aligned(std::byte* memory) {
        const auto past = reinterpret_cast<std::uintptr_t>(memory) % ScratchFile::block;
        return memory + (past ? ScratchFile::block - past : 0);
    }
    std::byte* data(const Frame& f) const { return memory_ + (&f - frames_.data()) * frame_bytes_; }
    Frame* find(std::int64_t begin) {
        for (Frame& f : frames_)
            if (f.span.count > 0 && f.span.begin == begin) return &f;
        return nullptr;
    }
    void forget(Frame& f, std::unique_lock<std::mutex>& lock) {
        f.asked = false;
        done_.wait(lock, [&] { return !f.reading; });
        std::fill(f.held.begin(), f.held.end(), 0);
        std::fill(f.todo.begin(), f.todo.end(), 0);
        f.span = {};
        f.error = nullptr;
    }
    void post(const Span& span) {
        std::unique_lock lock(mutex_);
        Frame* f = find(span.begin);
        if (!f) {
            for (Frame& other : frames_)
                if (&other != in_use_ && (!f || other.turn < f->turn)) f = &other;
            forget(*f, lock);
        }
        f->span = {span.begin, std::max(span.count, f->span.count), span.stride};
        f->turn = ++turn_;
        f->error = nullptr;
        std::uint64_t missing = 0;
        for (std::size_t w = 0; w < wanted_.size(); ++w)
            missing |= f->todo[w] |= wanted_[w] & ~f->held[w] & ~(f->reading ? f->now[w] : 0);
        if (!missing) return;
        f->asked = true;
        asked_.notify_one();
    }

    void work() {
        std::unique_lock lock(mutex_);
        while (!stop_) {
            Frame* next = nullptr;
            for (Frame& f : frames_)
                if (f.asked && !f.reading && (!next || f.turn < next->turn)) next = &f;
            if (!next) {
                asked_.wait(lock);
                continue;
            }
            next->asked = false;
            next->reading = true;
            std::swap(next->now, next->todo);
            std::fill(next->todo.begin(), next->todo.end(), 0);
            const Span span = next->span;
            lock.unlock();
            std::int64_t bytes = 0;
            std::exception_ptr error;
            try {
                bytes = read_entries(span, next->now, data(*next));
            } catch (...) {
                error = std::current_exception();
            }
            lock.lock();
            next->reading = false;
            next->error = error;
            bytes_read_ += bytes;
            if (!error)
                for (std::size_t w = 0; w < next->now.size(); ++w) next->held[w] |= next->now[w];
            if (next->asked) asked_.notify_one();
            done_.notify_all();
        }
    }
    /// Reads the entries whose bits are set, neighbours together. Returns the bytes read.
    std::int64_t read_entries(const Span& span, const Bits& bits, std::byte* memory) const {
        std::int64_t bytes = 0;
        const auto wanted = [&](std::int64_t i) { return bits[static_cast<std::size_t>(i / 64)] >> i % 64 & 1; };
        for (std::int64_t i = 0; i < span.count; ++i) {
            if (!wanted(i)) continue;
            const std::int64_t first = i;
            while (i < span.count && wanted(i)) ++i;
            const std::int64_t run = (i - first) * span.stride;
            file_.read(span.begin + first * span.stride, {memory + first * span.stride, static_cast<std::size_t>(run)});
            bytes += run;
        }
        return bytes;
    }

    ScratchFile file_;
    std::byte* memory_;
    std::int64_t frame_bytes_;
    Bits wanted_;
    std::array<Frame, frames> frames_;
    Frame* in_use_ = nullptr;
    std::byte* at_use_ = nullptr;
    std::uint64_t turn_ = 0;
    std::int64_t bytes_read_ = 0;
    bool stop_ = false;
    std::mutex mutex_;
    std::condition_variable asked_, done_;
    std::array<std::thread, 2> readers_;
};

}  // namespace qwen3vl::kv_cache
