// expect: qwen3vl: arch avx2: this file is not compiled for it
// expect: -march=haswell
// flags: -march=x86-64-v2
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_arch<q::arch::avx2>>;
auto plan = M::memory_plan();
