// expect: qwen3vl: slot kv_cache: CrossLayer needs groups of a size above 0
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto owner = q::kv_cache::CrossLayer<q::kv_cache::Contiguous<>, q::LayerGroups{.size = 0}>::owner(1);
