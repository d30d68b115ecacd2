// expect: qwen3vl: slot kv_cache: Ring needs Tokens above 0
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto capacity = q::kv_cache::Ring<q::Tokens{0}>::capacity;
