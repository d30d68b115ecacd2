#pragma once
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/model/bundles.hpp>

/// What the evaluating programs are compiled for: every bundle and the Dims they name, or those of the catalogue; in sanitized builds, which take minutes for
/// each, one bundle of floats, one of integers and the Dims that comes with the source.
#if defined(QWEN3VL_CATALOGUE)
#include "catalogue_bundles.hpp"
using CompiledBundles = catalogue::all;
#elif defined(QWEN3VL_SANITIZED)
using CompiledBundles = qwen3vl::list<qwen3vl::bundles::float32, qwen3vl::bundles::int4>;
template <class...>
using CompiledDims = qwen3vl::list<qwen3vl::models::Shapes>;
#else
using CompiledBundles = qwen3vl::bundles::all;
template <class... D>
using CompiledDims = qwen3vl::list<D...>;
#endif
