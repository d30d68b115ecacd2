// expect: qwen3vl: slot position: Approximate needs Entries that are a power of two
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto multimodal = q::position::Approximate<q::position::MRopeInterleaved, q::Entries{100}>::multimodal;
