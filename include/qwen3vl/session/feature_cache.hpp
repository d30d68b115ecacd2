#pragma once
#include <array>
#include <list>
#include <memory>
#include <mutex>
#include <qwen3vl/core/features.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Encoded pictures and clips, kept for the next prompt that shows them: the least recently used ones go when the bound
/// is reached. Keyed by the pixels' hash, the grid and the preprocessing. Threads may share one; it belongs to one
/// model.
class FeatureCache {
  public:
    /// Tells pictures apart by their content and how they were preprocessed.
    struct Key {
        std::array<std::uint64_t, 2> content{};  ///< hash of the pixels, of all frames of a clip
        Grid grid;                               ///< after preprocessing
        std::uint64_t preprocessing = 0;         ///< hash of mean, std and rescaling
        bool operator==(const Key&) const = default;
    };

    /// `bytes`: features kept at most; 0 keeps none.
    explicit FeatureCache(std::int64_t bytes) : bound_(bytes) {}

    /// The features of that key, or null. They become the most recently used ones.
    std::shared_ptr<const VisualFeatures> find(const Key& key) {
        const std::lock_guard lock(mutex_);
        for (auto it = entries_.begin(); it != entries_.end(); ++it)
            if (it->first == key) {
                entries_.splice(entries_.begin(), entries_, it);
                ++hits_;
                return it->second;
            }
        ++misses_;
        return nullptr;
    }
    /// Keeps features that fit the bound at all.
    void insert(const Key& key, std::shared_ptr<const VisualFeatures> features) {
        const std::int64_t size = features->bytes();
        const std::lock_guard lock(mutex_);
        if (size > bound_) return;
        for (const auto& e : entries_)
            if (e.first == key) return;
        while (held_ + size > bound_) {
            held_ -= entries_.back().second->bytes();
            entries_.pop_back();
        }
        held_ += size;
        entries_.emplace_front(key, std::move(features));
    }
    /// Bytes of the features kept.
    std::int64_t bytes() const {
        const std::lock_guard lock(mutex_);
        return held_;
    }
    /// Times that find() gave features.
    std::int64_t hits() const {
        const std::lock_guard lock(mutex_);
        return hits_;
    }
    /// Times that find() gave none.
    std::int64_t misses() const {
        const std::lock_guard lock(mutex_);
        return misses_;
    }

  private:
    mutable std::mutex mutex_;
    std::list<std::pair<Key, std::shared_ptr<const VisualFeatures>>> entries_;
    std::int64_t bound_, held_ = 0, hits_ = 0, misses_ = 0;
};

}  // namespace qwen3vl
