// expect: deleted
#include <qwen3vl/model/session.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny>;
M make();
void f() { q::Session<M> session(make()); }
