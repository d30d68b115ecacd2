#pragma once
#include <algorithm>
#include <deque>
#include <mutex>
#include <qwen3vl/kv_cache/contiguous.hpp>
#include <qwen3vl/kv_cache/projection.hpp>
#include <vector>

/// Watching what a model's caches are given, for the directions of kv_cache::LowRank.
namespace qwen3vl::inline QWEN3VL_ABI::kv_cache {

/// Sums of the products of pairs of channels, head by head.
class Products {
  public:
    Products(std::int64_t heads, std::int64_t channels) : channels_(channels), sums_(static_cast<std::size_t>(heads * channels * channels)) {}
    /// Counts a row [channels].
    void add(std::int64_t head, const float* row) {
        for (std::int64_t a = 0; a < channels_; ++a) {
            const auto x = static_cast<double>(row[a]);
            double* sums = sums_.data() + (head * channels_ + a) * channels_;
            for (std::int64_t b = 0; b < channels_; ++b) sums[b] += x * static_cast<double>(row[b]);
        }
    }
    double at(std::int64_t head, std::int64_t a, std::int64_t b) const { return sums_[static_cast<std::size_t>((head * channels_ + a) * channels_ + b)]; }

  private:
    std::int64_t channels_;
    std::vector<double> sums_;
};

/// What the caches of a layer saw.
struct ObservedLayer {
    ObservedLayer(std::int64_t kv_heads, std::int64_t channels) : keys(kv_heads, channels), queries(kv_heads, channels), values(kv_heads, channels) {}
    Products keys, queries, values;  ///< after rotation; queries, scaled by 1 / sqrt(head_dim), with their key/value head
    std::mutex mutex;
};

/// Those of the whole program, as a policy has no object of its own: the caches of a session in the order of its layers, then the next session's.
class KeyObservations {
  public:
    static KeyObservations& of_program() {
        static KeyObservations all;
        return all;
    }
    /// Comes before the first session: how many layers a model has.
    void set_layers(std::size_t n) { wanted_ = n; }
    /// The next layer.
    ObservedLayer& next(std::int64_t kv_heads, std::int64_t channels) {
        if (layers_.size() < wanted_) return layers_.emplace_back(kv_heads, channels);
        return layers_[again_++ % wanted_];
    }
    const std::deque<ObservedLayer>& layers() const { return layers_; }

  private:
    std::size_t wanted_ = 1, again_ = 0;
    std::deque<ObservedLayer> layers_;
};

/// Another cache, which tells KeyObservations::of_program() of all it is given.
///     kv_cache::Observed<>, as examples/low_rank.cpp uses it
template <class Inner = Contiguous<Float32>>
struct Observed : Inner {
    static constexpr const char* name = "Observed";
    static constexpr std::int64_t stored_channels(std::int64_t channels) { return channels; }

    class Layer : public Inner::Layer {
      public:
        Layer(std::byte* memory, const Extent& e)
            : Inner::Layer(memory, e), channels_(e.channels), seen_(&KeyObservations::of_program().next(e.kv_heads, e.channels)) {}
        template <class Arch>
        void write(std::int64_t kv_head, std::int64_t token, const float* key, const float* value) {
            Inner::Layer::template write<Arch>(kv_head, token, key, value);
            const std::lock_guard lock(seen_->mutex);
            seen_->keys.add(kv_head, key);
            seen_->values.add(kv_head, value);
        }
        std::int64_t stored_channels() const { return channels_; }
        template <class Arch>
        void project(std::int64_t kv_head, const float* query, float* out) const {
            std::copy_n(query, channels_, out);
            const std::lock_guard lock(seen_->mutex);
            seen_->queries.add(kv_head, query);
        }
        template <class Arch>
        void expand(std::int64_t, const float* row, float* out) const {
            std::copy_n(row, channels_, out);
        }

      private:
        std::int64_t channels_;
        ObservedLayer* seen_;
    };
};

}  // namespace qwen3vl::kv_cache
