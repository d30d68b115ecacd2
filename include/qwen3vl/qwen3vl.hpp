#pragma once
/// The whole library.
#include <qwen3vl/alignment/alignment.hpp>
#include <qwen3vl/chat/align.hpp>
#include <qwen3vl/chat/chat.hpp>
#include <qwen3vl/chat/embedding.hpp>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/fusion/fusion.hpp>
#include <qwen3vl/image/grounding.hpp>
#include <qwen3vl/image/heat.hpp>
#include <qwen3vl/model/load.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/policies/from_config.hpp>
#include <qwen3vl/session/session.hpp>
#if defined(QWEN3VL_COMPILED_MODELS)  // by the target qwen3vl::models
#include <qwen3vl/compiled_models.hpp>
#endif
