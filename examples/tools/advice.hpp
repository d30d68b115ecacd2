#pragma once
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <qwen3vl/model/model.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "candidates.hpp"
#include "measured_quality.hpp"

/// Which of the candidates fit a machine, and what they were measured to lose.
namespace advice {
namespace q = qwen3vl;

/// Of a bundle's predictions beside those in float32, over the tokens of bench/results/quality.json: a text in windows
/// of 2048.
struct Quality {
    double kl = 0;    ///< nats a token
    double top1 = 0;  ///< tokens whose likeliest is the same, in percent
};

struct Row {
    std::string bundle, type;  ///< its name, and the type to paste
    q::MemoryPlan plan;
    std::int64_t kv_bytes = 0;  ///< of the caches
    bool on_disk = false;       ///< each token reads from a disk
    std::optional<Quality> quality;
};

/// By bundle.
inline std::map<std::string, Quality> measured() {
    const auto result = nlohmann::json::parse(measured_quality);
    std::map<std::string, Quality> found;
    for (const auto& row : result.at("rows"))
        found[row.at("bundle")] = {row.at("kl_nats_per_token"), row.at("top1_percent")};
    return found;
}

/// Every candidate for a model of these Dims: those in memory first, of them the best first, of equal quality the
/// smaller one.
template <q::Dims D>
std::vector<Row> candidates_for(const q::SessionOptions& options) {
    const auto known = measured();
    std::vector<Row> rows;
    const auto add = [&]<class Bundle>(q::type_tag<Bundle>, const char* measured_as, bool on_disk) {
        Row row{Bundle::name, Bundle::type, q::Model<D, Bundle>::memory_plan(options), 0, on_disk, {}};
        for (const auto& part : row.plan.parts)
            if (part.name == "kv_cache") row.kv_bytes = part.bytes;
        if (const auto at = known.find(measured_as); at != known.end()) row.quality = at->second;
        rows.push_back(std::move(row));
    };
    q::for_each_type<candidates::in_memory>([&]<class B>(B bundle) { add(bundle, B::type::name, false); });
    q::for_each_type<candidates::on_disk>(
        [&]<class C>(C) { add(q::type_tag<typename C::type::bundle>{}, C::type::same::name, true); });
    std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
        const auto order = [](const Row& row) {
            return std::tuple(row.on_disk, row.quality ? row.quality->kl : 1e9, row.plan.total());
        };
        return order(a) < order(b);
    });
    return rows;
}

/// Those that take at most so many bytes.
inline std::vector<Row> fitting(std::vector<Row> rows, std::int64_t bytes) {
    std::erase_if(rows, [&](const Row& row) { return row.plan.total() > bytes; });
    return rows;
}

}  // namespace advice
