// expect: qwen3vl: slot kv_cache: this cache belongs to one session, which cannot fork
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
void f(q::Session<q::Model<q::models::Tiny>>& session) { auto other = session.fork(); }
