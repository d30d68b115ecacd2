// expect: qwen3vl: slot position: YaRN needs a factor of at least 1
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto multimodal = q::position::YaRN<q::position::MRopeInterleaved, q::YarnOptions{.factor = 0}>::multimodal;
