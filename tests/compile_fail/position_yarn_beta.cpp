// expect: qwen3vl: slot position: YaRN needs trained >= 0 and beta_fast > beta_slow > 0
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto multimodal = q::position::YaRN<q::position::MRopeInterleaved,
                                    q::YarnOptions{.factor = 4, .beta_fast = 1, .beta_slow = 32}>::multimodal;
