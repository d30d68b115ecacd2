// The functions that qwen3vl's programs share: see core/config.hpp.
#define QWEN3VL_SUPPORT_SOURCE
#include <qwen3vl/qwen3vl.hpp>
