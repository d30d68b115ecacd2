#pragma once
#include <qwen3vl/core/error.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "compiled_bundles.hpp"

/// The options of the programs that compare bundles, and the loop over the bundles that are asked for.
struct BundleOptions {
    std::vector<std::string> names = compiled();
    std::string calibration, parameters;

    void add_to(CLI::App& app) {
        app.add_option("--bundle", names, "of " + listed() + "; may be given several times; by default all")
            ->take_all();
        app.add_option("--calibration", calibration, "a file made by calibrate, for the integer formats");
        app.add_option("--parameters", parameters,
                       "a file with the parameters of policies that bring some, such as low_rank makes, or a folder of "
                       "such files with the bundles' names");
    }
    /// f(type_tag<Bundle>) for each that is asked for, then ConfigError where a name is no bundle's.
    template <class F>
    void for_each(F&& f) const {
        std::size_t found = 0;
        qwen3vl::for_each_type<CompiledBundles>([&](auto tag) {
            if (std::find(names.begin(), names.end(), decltype(tag)::type::name) == names.end()) return;
            ++found;
            f(tag);
        });
        if (found != names.size()) throw qwen3vl::ConfigError("--bundle: expected names among " + listed());
    }

  private:
    static std::vector<std::string> compiled() {
        std::vector<std::string> all;
        qwen3vl::for_each_type<CompiledBundles>([&](auto tag) { all.emplace_back(decltype(tag)::type::name); });
        return all;
    }
    static std::string listed() {
        std::string text;
        for (const auto& name : compiled()) text += (text.empty() ? "" : ", ") + name;
        return text;
    }
};
