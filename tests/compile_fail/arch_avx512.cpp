// expect: qwen3vl: arch avx512: this file is not compiled for it
// expect: -march=skylake-avx512
// flags: -march=haswell
#include <qwen3vl/model/model.hpp>
#include <qwen3vl/testing/models.hpp>

namespace q = qwen3vl;
using M = q::Model<q::models::Tiny, q::Policies<>::with_arch<q::arch::avx512>>;
auto plan = M::memory_plan();
