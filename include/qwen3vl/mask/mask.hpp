#pragma once
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/mask/bidirectional_pictures.hpp>
#include <qwen3vl/mask/block_sparse.hpp>
#include <qwen3vl/mask/by_modality.hpp>
#include <qwen3vl/mask/causal.hpp>
#include <qwen3vl/mask/dynamic_sparse.hpp>
#include <qwen3vl/mask/full.hpp>
#include <qwen3vl/mask/grid_window.hpp>
#include <qwen3vl/mask/router.hpp>
#include <qwen3vl/mask/sliding_window.hpp>
#include <qwen3vl/mask/tempered.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::mask {
/// Every mask that answers by itself and knows no picture: feeds the conformance tests and the bench.
using all = list<Full, Causal, SlidingWindow<Window{.tokens = 64, .sinks = 4}>,
                 BlockSparse<BlockPattern{.local = 4, .global = 1, .stride = 8}>>;
/// Masks by the types of tokens, which the tests and the bench take too.
using typed = list<ByModality<Sees{.vision_to_language = false, .sinks = 4}>>;
/// Masks that scale scores by the types of tokens, which the bench takes too.
using tempered = list<Tempered<Temperatures{.language_to_vision = 0.8f}>>;
/// Masks by which pictures look ahead, which the bench takes too.
using looking_ahead = list<BidirectionalPictures<>>;
/// Masks with a state, which the bench takes too.
using stateful = list<DynamicSparse<BlockBudget{.keep = 8}>>;
/// Masks over a picture's grid.
using of_grids = list<GridWindow<>>;
}  // namespace qwen3vl::mask
