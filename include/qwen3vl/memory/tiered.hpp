#pragma once
#include <memory>
#include <qwen3vl/memory/pages.hpp>
#include <qwen3vl/memory/tiers.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::memory {

/// One mapping whose blocks belong to pools (attention, MLP, embedding, vision) and to groups that are used together.
/// Given Tiers, which the caller owns and shares among models and sessions, groups that nobody holds may be on disk;
/// without, all stay in memory. It suits what is used now and then: weights that every step reads and that do not fit
/// are better weights::Streamed, which reads ahead.
///     using Model = q::Model<q::models::Qwen3VL_2B, q::Policies<>::with_memory<q::memory::Tiered>>;
///     q::memory::Tiers tiers({.folder = "/var/tmp", .attention = std::int64_t{2} << 30, .vision = 128 << 20});
///     const auto model = Model::load(folder, {.tiers = &tiers});
///     q::Session morning(model, {.tiers = &tiers}), evening(model, {.tiers = &tiers});  // one of them may be on disk
class Tiered {
    struct State;

  public:
    static constexpr const char* name = "Tiered";
    static constexpr std::int64_t alignment = 4096;  ///< bytes, of every block: whole pages

    /// Keeps groups in memory while it lives.
    class ResidencyGuard {
      public:
        ResidencyGuard() = default;
        ResidencyGuard(ResidencyGuard&& o) noexcept
            : state_(std::exchange(o.state_, nullptr)), first_(o.first_), last_(o.last_) {}
        ResidencyGuard& operator=(ResidencyGuard&&) = delete;
        ~ResidencyGuard() {
            if (state_)
                for (std::size_t i = first_; i < last_; ++i) state_->release(i);
        }

      private:
        friend Tiered;
        ResidencyGuard(State& state, bool writes, std::size_t first, std::size_t last)
            : state_(&state), first_(first), last_(first) {
            try {
                for (; last_ < last; ++last_) state_->hold(last_, writes);
            } catch (...) {
                while (last_ > first_) state_->release(--last_);
                throw;
            }
        }
        State* state_ = nullptr;
        std::size_t first_ = 0, last_ = 0;
    };

    Tiered() = default;
    /// Maps `bytes` bytes. Throws OutOfMemory where the system refuses.
    explicit Tiered(std::int64_t bytes, Tiers* tiers = nullptr) : state_(std::make_unique<State>(bytes, tiers)) {}

    /// Bytes that take(bytes) uses.
    static constexpr std::int64_t footprint(std::int64_t bytes) { return round_up(bytes, alignment); }
    /// Takes the next `bytes` bytes, zeroed, which never leave memory. Throws OutOfMemory beyond the plan.
    std::byte* take(std::int64_t bytes) { return take(bytes, Role{}); }
    /// Takes the next `bytes` bytes, zeroed, for the group of `role`. Throws OutOfMemory beyond the plan and after
    /// settle().
    std::byte* take(std::int64_t bytes, const Role& role) {
        if (bytes > size() - used_ || state_->settled)
            throw OutOfMemory("the plan of the tiers holds " + std::to_string(size()) + " bytes; " +
                              std::to_string(used_ + bytes) + " were asked for");
        std::byte* p = state_->pages.data() + used_;
        state_->extend(role, used_, footprint(bytes));
        used_ += footprint(bytes);
        return p;
    }
    /// Ends allocation: from now on groups may be on disk unless they are held. Throws FileError where the disk has no
    /// room for them, OutOfMemory as Tiers::add.
    void settle() {
        if (state_) state_->settle();
    }
    /// Brings the group of a role into memory, if there is one, and keeps it there. `writes`: the holder may change it.
    /// Throws as Tiers::hold.
    ResidencyGuard hold(const Role& role, bool writes) const {
        if (state_ && state_->settled)
            for (std::size_t i = 0; i < state_->groups.size(); ++i)
                if (state_->groups[i].role == role) return ResidencyGuard(*state_, writes, i, i + 1);
        return {};
    }
    /// Brings all groups into memory and keeps them there. `writes`: the holder may change them. Throws as Tiers::hold.
    ResidencyGuard hold_all(bool writes) const {
        return state_ && state_->settled ? ResidencyGuard(*state_, writes, 0, state_->groups.size()) : ResidencyGuard();
    }

    /// Bytes of the whole block, taken or not.
    std::int64_t size() const { return state_ ? state_->pages.size() : 0; }
    /// Groups in the order of their first blocks; empty without Tiers.
    std::span<const TierGroup> groups() const {
        return state_ && state_->settled ? std::span<const TierGroup>(state_->groups) : std::span<const TierGroup>{};
    }

  private:
    struct State {
        State(std::int64_t bytes, Tiers* t) : pages(bytes), tiers(t) {
            pages.advise(t ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
        }
        State(const State&) = delete;
        State& operator=(const State&) = delete;
        ~State() {
            if (settled) tiers->remove(groups);
        }
        void extend(const Role& role, std::int64_t begin, std::int64_t bytes) {
            auto g =
                std::find_if(groups.begin(), groups.end(), [&](const TierGroup& other) { return other.role == role; });
            if (g == groups.end()) {
                g = groups.emplace(groups.end());
                g->role = role;
                g->mapping = pages.data();
            }
            g->bytes += bytes;
            if (!g->ranges.empty() && g->ranges.back().begin + g->ranges.back().bytes == begin)
                g->ranges.back().bytes += bytes;
            else
                g->ranges.push_back({begin, bytes});
        }
        void settle() {
            if (!tiers) return;
            if (!tiers->folder().empty()) file.emplace(tiers->folder(), pages.size());
            for (TierGroup& g : groups) {
                g.file = file && g.role.content != Content::pinned ? &*file : nullptr;
                for (const auto& r : g.ranges) advise_huge_pages(pages.data() + r.begin, r.bytes);
            }
            tiers->add(groups);
            settled = true;
        }
        /// Advises huge pages where they belong to one group alone: another's would come into memory with it.
        static void advise_huge_pages(std::byte* begin, std::int64_t bytes) {
            constexpr std::uintptr_t huge = std::uintptr_t{1} << 21;
            const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(begin), first = (at + huge - 1) & ~(huge - 1),
                                 end = (at + static_cast<std::uintptr_t>(bytes)) & ~(huge - 1);
            if (first < end) ::madvise(begin + (first - at), end - first, MADV_HUGEPAGE);
        }
        void hold(std::size_t i, bool writes) { tiers->hold(groups[i], writes); }
        void release(std::size_t i) { tiers->release(groups[i]); }

        Pages pages;
        Tiers* tiers;
        std::optional<ScratchFile> file;
        std::vector<TierGroup> groups;
        bool settled = false;
    };

    std::unique_ptr<State> state_;
    std::int64_t used_ = 0;
};

}  // namespace qwen3vl::memory
