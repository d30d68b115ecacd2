// expect: deleted
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny>;
M make();
void f() { q::Session<M> session(make()); }
