// expect: qwen3vl: slot kv_cache: Paged keeps tokens in a pool that chats share
#include <qwen3vl/chat/chat.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_text<q::TextPolicies<>::with_kv_cache<q::kv_cache::Paged<>>>>;
void f(const M& model) { q::Chat<M> chat(model, {.session = {.context = 64}}); }
