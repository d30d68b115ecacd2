#pragma once
/// The alignment policies.
#include <qwen3vl/alignment/none.hpp>
#include <qwen3vl/alignment/projected.hpp>
