#pragma once
#include <algorithm>
#include <array>
#include <numeric>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/features.hpp>
#include <vector>

/// A token-reduction policy of the tests.
namespace qwen3vl_test {

using namespace qwen3vl;

/// The merged patches of largest norm, Numerator of Denominator of each frame pair, in their order.
template <int Numerator, int Denominator>
struct LargestTokens {
    static constexpr const char* name = "LargestTokens";
    static constexpr std::int64_t tokens(int rows, int columns) {
        return std::max<std::int64_t>(1, std::int64_t{rows} * columns * Numerator / Denominator);
    }
    template <class Weights, class Ops, class Parameters>
    static void reduce(const Ops& /*ops*/, const ModelDims& /*dims*/, const Parameters& /*none*/, VisualFeatures& f) {
        const int rows = f.grid.h / f.merge, columns = f.grid.w / f.merge;
        const std::int64_t all = std::int64_t{rows} * columns, kept = tokens(rows, columns);
        std::vector<std::int64_t> of_clip;
        for (std::int64_t pair = 0; pair < f.grid.t; ++pair) {
            std::vector<std::int64_t> order(static_cast<std::size_t>(all));
            std::iota(order.begin(), order.end(), pair * all);
            const auto norm = [&](std::int64_t token) {
                float sum = 0;
                for (std::int64_t c = 0; c < f.width; ++c) sum += f.embedding_row(token)[c] * f.embedding_row(token)[c];
                return sum;
            };
            std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return norm(a) > norm(b); });
            order.resize(static_cast<std::size_t>(kept));
            std::sort(order.begin(), order.end());
            for (const auto token : order) {
                of_clip.push_back(token);
                const auto within = static_cast<int>(token - pair * all);
                f.places.push_back({within / columns, within % columns});
            }
        }
        const auto keep = [&](std::vector<float>& values) {
            std::vector<float> left;
            for (const auto token : of_clip)
                left.insert(left.end(), values.begin() + token * f.width, values.begin() + (token + 1) * f.width);
            values = std::move(left);
        };
        keep(f.embedding);
        for (auto& level : f.deepstack) keep(level);
    }
};

}  // namespace qwen3vl_test
