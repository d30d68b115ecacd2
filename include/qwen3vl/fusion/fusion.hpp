#pragma once
/// Every fusion policy.
#include <qwen3vl/fusion/bilinear.hpp>
#include <qwen3vl/fusion/cross_attention.hpp>
#include <qwen3vl/fusion/deepstack.hpp>
#include <qwen3vl/fusion/dynamic.hpp>
#include <qwen3vl/fusion/gated.hpp>
