// expect: qwen3vl needs C++20
// errors: several
// flags: -std=c++17
#include <qwen3vl/core/config.hpp>
