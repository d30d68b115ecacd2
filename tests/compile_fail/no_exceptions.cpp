// expect: compile without -fno-exceptions
// flags: -fno-exceptions
#include <qwen3vl/core/config.hpp>
