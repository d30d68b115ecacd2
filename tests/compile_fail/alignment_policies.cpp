// expect: qwen3vl: slot alignment: this policy compares no phrases
// expect: qwen3vl: slot alignment: Projected has a Rank above 0
// errors: 2
#include <qwen3vl/alignment/alignment.hpp>
#include <qwen3vl/chat/align.hpp>
#include <qwen3vl/model/load.hpp>

namespace q = qwen3vl;

auto rank = q::alignment::Projected<q::Rank{0}>::rank;
float score(const q::Model<q::models::Shapes>& model, const q::Image& picture) {
    return q::align(model, picture, "the red circle").score;
}
