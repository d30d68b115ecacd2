#pragma once
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/core/models.hpp>
#include <string>
#include <string_view>

namespace bench {
namespace detail {

template <class... D, class Run>
void with_dims(qwen3vl::type_tag<qwen3vl::list<D...>>, std::string_view name, const Run& run) {
    const bool found = ((name == D::name && (run(qwen3vl::type_tag<D>{}), true)) || ...);
    if (found) return;
    std::string names;
    ((names += names.empty() ? "" : ", ", names += D::name), ...);
    throw qwen3vl::ConfigError("--dims " + std::string(name) + ": this program is compiled for " + names +
                               "; more by the CMake list QWEN3VL_BENCH_DIMS");
}

}  // namespace detail

/// Calls `run` with the type_tag of the Dims of this name. Throws ConfigError if the program is not compiled for them.
template <class Run>
void with_dims(std::string_view name, const Run& run) {
    detail::with_dims(qwen3vl::type_tag<qwen3vl::list<QWEN3VL_BENCH_DIMS>>{}, name, run);
}

}  // namespace bench
