#pragma once
// The requirements on all slots.
#include <qwen3vl/concepts/attention.hpp>
#include <qwen3vl/concepts/features.hpp>
#include <qwen3vl/concepts/layer.hpp>
#include <qwen3vl/concepts/machine.hpp>
