// expect: compile without -ffast-math
// flags: -ffast-math
#include <qwen3vl/core/config.hpp>
