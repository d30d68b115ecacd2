// expect: qwen3vl: slot position: NTK needs a Factor of at least 1
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto multimodal = q::position::NTK<q::position::MRopeInterleaved, q::Factor{0.5}>::multimodal;
