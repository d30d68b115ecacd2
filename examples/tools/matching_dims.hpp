#pragma once
#include <qwen3vl/checkpoint/checkpoint.hpp>
#include <qwen3vl/checkpoint/hf_config.hpp>
#include <qwen3vl/core/list.hpp>
#include <string>

/// f(type_tag<D>) for the first of the list's Dims that a checkpoint's config describes. Throws ConfigError where none
/// is.
template <class List, class F>
void with_matching_dims(const std::string& model, F&& f) {
    const auto config = qwen3vl::checkpoint::read_config(model);
    bool found = false;
    std::string reasons;
    qwen3vl::for_each_type<List>([&](auto tag) {
        using D = typename decltype(tag)::type;
        std::string why;
        if (found) return;
        found = qwen3vl::checkpoint::matches<D>(config, &why);
        if (found)
            f(tag);
        else
            reasons += std::string("\n  ") + D::name + ": " + why;
    });
    if (!found) throw qwen3vl::ConfigError(model + ": the config matches none of this program's Dims:" + reasons);
}
