// expect: qwen3vl needs SSE4.2
// errors: several
// flags: -march=x86-64
#include <qwen3vl/core/config.hpp>
