// What check_layering.cmake must notice.
#include <qwen3vl/core/config.hpp>
#include <qwen3vl/model/model.hpp>
