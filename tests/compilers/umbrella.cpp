// What a program gets from the umbrella header: every member of a model, of its session and of its chat.
#include <qwen3vl/qwen3vl.hpp>

namespace qwen3vl::inline QWEN3VL_ABI {
template class BasicModel<models::Shapes, SlotsOf<Policies<>>>;
template class Session<Model<models::Shapes>>;
template class Chat<Model<models::Shapes>>;
}  // namespace qwen3vl::inline QWEN3VL_ABI
