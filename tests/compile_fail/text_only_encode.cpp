// expect: encode
#include <qwen3vl/model/session.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Plain>;
void f(q::Session<M>& session) { session.encode({}); }
