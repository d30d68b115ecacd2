#pragma once
/// The whole library.
#include <qwen3vl/chat/chat.hpp>
#include <qwen3vl/chat/embedding.hpp>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/io/grounding.hpp>
#include <qwen3vl/model/bundles.hpp>
#include <qwen3vl/model/load.hpp>
#include <qwen3vl/model/session.hpp>
#if defined(QWEN3VL_COMPILED_MODELS)  // by the target qwen3vl::models
#include <qwen3vl/compiled_models.hpp>
#endif
