#pragma once
#include <cstdint>
#include <qwen3vl/core/config.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::vision {

/// Calls f(index, row, column) for every patch of one frame, in the order of pixels, angles and position embeddings:
/// block by block of merge x merge patches, row-major inside and outside.
template <class F>
void for_each_patch(int h, int w, int merge, F&& f) {
    std::int64_t i = 0;
    for (int by = 0; by < h; by += merge)
        for (int bx = 0; bx < w; bx += merge)
            for (int y = 0; y < merge; ++y)
                for (int x = 0; x < merge; ++x) f(i++, by + y, bx + x);
}

}  // namespace qwen3vl::vision
