#pragma once
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/policies/bundles.hpp>

/// What the evaluating programs are compiled for. Bundles: every shipped one, those of the catalogue, those with
/// trained fusion policies, or the candidates of `advise`; in sanitized builds, which take minutes for each, one of
/// floats and one of integers. Dims: those of the command line (QWEN3VL_CLI_DIMS), or those that both lists are
/// measured with.
#if defined(QWEN3VL_CATALOGUE)
#include "catalogue_bundles.hpp"
using CompiledBundles = catalogue::questions;
#elif defined(QWEN3VL_CATALOGUE_OF_TEXTS)
#include "catalogue_bundles.hpp"
using CompiledBundles = catalogue::texts;
using CompiledDims = qwen3vl::list<qwen3vl::models::SmolLM2_135M>;
#elif defined(QWEN3VL_TRAINED_FUSIONS)
#include "fusion_bundles.hpp"
using CompiledBundles = trained::fusions;
#elif defined(QWEN3VL_CANDIDATES)
#include "candidates.hpp"
using CompiledBundles = candidates::in_memory;
using CompiledDims = qwen3vl::list<qwen3vl::models::Shapes, qwen3vl::models::SmolLM2_135M>;
#else
#if defined(QWEN3VL_SANITIZED)
using CompiledBundles = qwen3vl::list<qwen3vl::bundles::float32, qwen3vl::bundles::int4>;
#else
using CompiledBundles = qwen3vl::bundles::all;
#endif
using CompiledDims = qwen3vl::list<QWEN3VL_COMPILED_DIMS>;
#endif
