// expect: qwen3vl: slot kv_cache: this cache has no pages for a PagePool
#include <qwen3vl/session/page_pool.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
void f(const q::Model<q::models::Tiny>& model) { q::PagePool pool(model); }
