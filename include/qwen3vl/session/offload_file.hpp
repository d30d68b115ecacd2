#pragma once
#include <optional>
#include <qwen3vl/kv_cache/tile_store.hpp>
#include <qwen3vl/model/session_options.hpp>
#include <qwen3vl/policies/layer_slots.hpp>
#include <string>
#include <type_traits>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// File in which a sequence's caches keep tokens that are not in memory; none is made where no cache is offloaded.
template <Dims D, class P>
class OffloadFile {
  public:
    /// Makes the file. `frames`: memory for frames of frame_bytes(). Throws FileError where the options name no folder
    /// or the disk has no room.
    void open(const SequenceOptions& o, [[maybe_unused]] std::byte* frames) {
        const std::int64_t bytes = file_bytes<D, P>(o.context);
        if (bytes == 0) return;
        if (o.offload_folder.empty())
            throw FileError("SessionOptions::offload_folder: expected a folder on a disk with room for " +
                            std::to_string(bytes) + " bytes, where the kv_cache policy keeps older tokens; found none");
        store_.emplace(o.offload_folder, bytes, frames, frame_bytes<D, P>(o.context));
        begins_.assign(static_cast<std::size_t>(D::text.layers), none);
        for_each_file_part<D, P>(o.context,
                                 [&](std::size_t layer, std::int64_t at, std::int64_t) { begins_[layer] = at; });
        for (std::size_t i = 0; i < begins_.size(); ++i)
            with_layer_slots<P>(i, [&](auto index) {
                begins_[i] = begins_[static_cast<std::size_t>(
                    kv_cache::owner_of<typename LayerSlots<P, index()>::KvCache>(static_cast<int>(i)))];
            });
    }
    /// Place in the file of a layer whose cache is `Cache`, and of the next one if it is of the same type.
    template <class Cache>
    typename Cache::Place place_of(std::size_t layer) {
        typename Cache::Place place;
        if (!store_) return place;
        place.store = &*store_;
        place.begin = begins_[layer];
        const std::size_t next = after(layer);
        with_layer_slots<P>(next, [&](auto index) {
            if (std::is_same_v<typename LayerSlots<P, index()>::KvCache, Cache>) place.next = begins_[next];
        });
        return place;
    }

  private:
    static constexpr std::int64_t none = -1;
    /// The layer with tokens in the file that runs next, itself if there is no other.
    std::size_t after(std::size_t layer) const {
        for (std::size_t step = 1; step < begins_.size(); ++step)
            if (const std::size_t i = (layer + step) % begins_.size();
                begins_[i] != none && P::Text::Depth::runs(static_cast<int>(i), D::text.layers))
                return i;
        return layer;
    }

    std::optional<kv_cache::TileStore> store_;
    std::vector<std::int64_t> begins_;  ///< byte offset of each layer's tokens in the file
};

}  // namespace qwen3vl::detail
