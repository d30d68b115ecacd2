#pragma once
#include <qwen3vl/core/tables.hpp>
#include <qwen3vl/model/session_plan.hpp>
#include <string>
#include <vector>

/// The tables of a model's policies (core/tables.hpp): which there are, and where they lie.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

struct PolicyTables {
    std::vector<std::vector<float>> position;
    std::vector<std::vector<std::vector<float>>> masks, caches;  ///< by layer

    /// f(name, shape, table) for each, which is made where it is not there yet.
    template <Dims D, class P, class F>
    void visit(F&& f) {
        const auto fill = [&](std::vector<std::vector<float>>& tables, const std::string& prefix, auto policy) {
            using Policy = typename decltype(policy)::type;
            if constexpr (NeedsTables<Policy, TextDims>) {
                std::size_t n = 0;
                Policy::for_each_table(D::text, [&](const std::string& name, const Shape& shape) {
                    if (n == tables.size()) tables.emplace_back();
                    f(prefix + name, shape, tables[n++]);
                });
            }
        };
        fill(position, "", type_tag<typename P::Text::Position>{});
        masks.resize(static_cast<std::size_t>(D::text.layers));
        caches.resize(masks.size());
        for (std::size_t i = 0; i < masks.size(); ++i)
            with_layer_slots<P>(i, [&](auto index) {
                using S = LayerSlots<P, index()>;
                const std::string prefix = "layers." + std::to_string(i) + ".";
                fill(masks[i], prefix, type_tag<typename S::Attention::mask>{});
                fill(caches[i], prefix, type_tag<typename S::KvCache>{});
            });
    }
};

}  // namespace qwen3vl::detail
