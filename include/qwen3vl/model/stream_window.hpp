#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <qwen3vl/core/uncached_file.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/memory/pages.hpp>
#include <qwen3vl/model/stream_plan.hpp>
#include <string>
#include <thread>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// Window of streamed weights: slots of one size, into which a thread reads parts. Parts that somebody waits for come
/// first, then those that follow the one in use. A part always has the same slot, so its matrices have the same
/// addresses whenever it is resident.
///
/// Slots are the process's own memory, filled by uncached reads (core/uncached_file.hpp), not a mapping of the file. So
/// the bound holds whatever the page cache does, inside of a cgroup too, and a part cannot be evicted while it is used.
/// A disk that fails, or a file cut short after load, is a FileError for whoever waits for the part, who may try again.
/// With a mapping it would end the program. The price: sessions that run at the same time share the slots. A slot is
/// refilled only when nobody uses it, in the order in which parts were requested, so that every session gets on.
/// Sessions at different layers read each for itself. A change of the file's content after load that keeps its length
/// is not seen.
class StreamWindow {
  public:
    /// Extent of a part in the file, and its slot.
    struct Run {
        std::int64_t offset = 0, bytes = 0;
        int slot = -1, next = -1;
    };

    /// Takes the memory. Throws OutOfMemory.
    StreamWindow(std::vector<Run> runs, int slots, std::int64_t slot_bytes, std::int64_t panel_bytes)
        : runs_(std::move(runs)),
          slot_bytes_(slot_bytes),
          memory_(slots * slot_bytes),
          panel_(panel_bytes),
          slots_(static_cast<std::size_t>(slots)) {
        memory_.advise(MADV_HUGEPAGE);
        demands_.resize(runs_.size());
        claimed_.resize(slots_.size());
    }
    StreamWindow(const StreamWindow&) = delete;
    StreamWindow& operator=(const StreamWindow&) = delete;
    ~StreamWindow() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        work_.notify_one();
        if (reader_.joinable()) reader_.join();
    }

    /// Takes the file and starts the reading thread; parts can be held from now on. Throws OutOfMemory where the system
    /// gives no thread.
    void start(UncachedFile file) {
        file_ = std::move(file);
        try {
            team_.emplace(readers.n);
            reader_ = std::thread([this] { read_parts(); });
        } catch (const std::exception&) {
            throw OutOfMemory("streamed weights: the system gives no thread to read them");
        }
    }

    /// Address of a part, valid while it is held.
    const std::byte* at(int part) const {
        return slot_data(run(part).slot) + run(part).offset % UncachedFile::alignment;
    }

    /// Keeps a part in memory for as long as it lives.
    class ResidencyGuard {
      public:
        ResidencyGuard(StreamWindow& window, int part) : window_(window), part_(part) { window.acquire(part); }
        ResidencyGuard(const ResidencyGuard&) = delete;
        ResidencyGuard& operator=(const ResidencyGuard&) = delete;
        ~ResidencyGuard() { window_.release(part_); }

      private:
        StreamWindow& window_;
        int part_;
    };
    /// Waits until a part is in memory, and returns its guard. Hold at most one per thread. Throws FileError where the
    /// part cannot be read.
    ResidencyGuard hold(int part) { return ResidencyGuard(*this, part); }

    /// Calls f(data) with bytes [offset, offset + bytes) of the file, at most panel_bytes less a page. Throws
    /// FileError.
    template <class F>
    void read(std::int64_t offset, std::int64_t bytes, F&& f) {
        const std::int64_t begin = offset / UncachedFile::alignment * UncachedFile::alignment;
        const std::lock_guard lock(panel_mutex_);
        file_.read(begin, offset + bytes - begin, panel_.data());
        f(static_cast<const std::byte*>(panel_.data() + (offset - begin)));
    }

    /// Counters since construction: bytes read into slots, and seconds that sessions waited for them.
    struct Counts {
        std::int64_t bytes = 0;
        double waited = 0;
    };
    Counts counts() const {
        const std::lock_guard lock(mutex_);
        return counts_;
    }
    std::int64_t resident_bytes() const { return memory_.size() + panel_.size(); }

  private:
    enum class State { empty, reading, ready };
    struct Slot {
        int part = -1;
        State state = State::empty;
        int users = 0;
    };
    /// Demand for a part: who waits for it, and whether its last read failed.
    struct Demand {
        int waiting = 0;
        std::uint64_t ticket = 0;  ///< order of the first who waits
        bool failed = false;       ///< its last read failed: it is not read ahead
        std::exception_ptr error;  ///< for those who wait
    };
    /// Reads in flight, and the bytes of each: one alone leaves a disk idle between two.
    static constexpr ThreadCount readers{8};
    static constexpr std::int64_t piece = 512 << 10;

    const Run& run(int part) const { return runs_[static_cast<std::size_t>(part)]; }
    Slot& slot_of(int part) { return slots_[static_cast<std::size_t>(run(part).slot)]; }
    Demand& demand_of(int part) { return demands_[static_cast<std::size_t>(part)]; }
    std::byte* slot_data(int slot) const { return memory_.data() + slot * slot_bytes_; }

    void acquire(int part) {
        std::unique_lock lock(mutex_);
        latest_ = part;
        work_.notify_one();
        Slot& slot = slot_of(part);
        const auto there = [&] { return slot.part == part && slot.state == State::ready; };
        if (!there()) wait_for(part, lock, there);
        ++slot.users;
    }
    template <class There>
    void wait_for(int part, std::unique_lock<std::mutex>& lock, There&& there) {
        const auto start = std::chrono::steady_clock::now();
        Demand& demand = demand_of(part);
        if (demand.waiting++ == 0) {
            demand.ticket = ++tickets_;
            demand.failed = false;
            demand.error = nullptr;
        }
        ready_.wait(lock, [&] { return there() || demand.error; });
        --demand.waiting;
        counts_.waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (!there()) {
            work_.notify_one();  // somebody else may wait for its slot
            std::rethrow_exception(demand.error);
        }
    }
    void release(int part) {
        const std::lock_guard lock(mutex_);
        if (--slot_of(part).users == 0) work_.notify_one();
    }

    bool is_free(const Slot& slot) const {
        return slot.state != State::reading && slot.users == 0 &&
               (slot.part < 0 || demands_[static_cast<std::size_t>(slot.part)].waiting == 0);
    }
    /// Chooses the part to read next; -1: none. Of the parts waited for it is the one requested first, otherwise the
    /// nearest of those that come.
    int choose() {
        int best = -1;
        for (int p = 0; p < static_cast<int>(runs_.size()); ++p) {
            const Demand& d = demand_of(p);
            if (d.waiting == 0 || d.error) continue;
            const Slot& slot = slot_of(p);
            if (slot.part != p && is_free(slot) && (best < 0 || d.ticket < demand_of(best).ticket)) best = p;
        }
        if (best >= 0 || latest_ < 0) return best;
        std::fill(claimed_.begin(), claimed_.end(), false);
        int p = latest_;
        claimed_[static_cast<std::size_t>(run(p).slot)] = true;
        for (std::size_t n = 1; n < slots_.size(); ++n) {
            p = run(p).next;
            if (p == latest_) break;
            const auto at = static_cast<std::size_t>(run(p).slot);
            if (claimed_[at]) continue;  // for a nearer one
            claimed_[at] = true;
            if (slots_[at].part != p && is_free(slots_[at]) && !demand_of(p).failed) return p;
        }
        return -1;
    }
    void read_parts() {
        std::unique_lock lock(mutex_);
        for (;;) {
            int part = -1;
            work_.wait(lock, [&] { return stop_ || (part = choose()) >= 0; });
            if (stop_) return;
            Slot& slot = slot_of(part);
            slot.part = part;
            slot.state = State::reading;
            lock.unlock();
            std::exception_ptr error;
            try {
                read_part(part);
            } catch (...) {
                error = std::current_exception();
            }
            lock.lock();
            slot.state = error ? State::empty : State::ready;
            if (error) {
                slot.part = -1;
                demand_of(part).failed = true;
                if (demand_of(part).waiting > 0) demand_of(part).error = error;
            } else {
                counts_.bytes += run(part).bytes;
            }
            ready_.notify_all();
        }
    }
    void read_part(int part) {
        const Run& r = run(part);
        const std::int64_t begin = r.offset / UncachedFile::alignment * UncachedFile::alignment,
                           end = r.offset + r.bytes;
        team_->run(ceil_div(end - begin, piece), [&](std::int64_t i, int) {
            const std::int64_t at = begin + i * piece;
            if (!stop_) file_.read(at, std::min(piece, end - at), slot_data(r.slot) + (at - begin));
        });
    }

    std::vector<Run> runs_;
    std::int64_t slot_bytes_;
    memory::Pages memory_, panel_;
    UncachedFile file_;
    std::mutex panel_mutex_;
    mutable std::mutex mutex_;  ///< guards the members below
    std::condition_variable work_, ready_;
    std::vector<Slot> slots_;
    std::vector<Demand> demands_;
    std::vector<bool> claimed_;  ///< choose()'s own
    std::uint64_t tickets_ = 0;
    int latest_ = -1;
    Counts counts_;
    std::atomic<bool> stop_{false};
    std::optional<execution::Threads<readers>::Team> team_;
    std::thread reader_;
};

/// Guards from the window for the tower, whose stages are the first parts.
struct StreamGuards {
    StreamWindow* window;
    auto operator()(int stage) const { return window->hold(stage); }
};

}  // namespace qwen3vl::detail
