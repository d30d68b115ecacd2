#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <qwen3vl/core/layers.hpp>
#include <string>
#include <vector>

/// What a bundle is made of, as the results of the evaluating programs tell it.
namespace policy_fields {
namespace q = qwen3vl;

/// name(policy) of a slot's policies by layer, each once.
template <class Slot, class Name>
std::string names(Name&& name) {
    std::string all;
    q::for_each_type<typename q::plan<Slot>::types>([&](auto tag) {
        const std::string one = name(tag);
        if ((", " + all + ", ").find(", " + one + ", ") == std::string::npos) all += (all.empty() ? "" : ", ") + one;
    });
    return all;
}

/// {bundle, fusion, attention, mask, cache, codec, position, vision_attention, vision_mask}, several by layer with
/// commas.
template <class Bundle>
nlohmann::ordered_json of() {
    using Text = typename Bundle::Text;
    using Vision = typename Bundle::Vision;
    return {
        {"bundle", Bundle::name},
        {"fusion", Bundle::Fusion::name},
        {"attention", names<typename Text::Attention>([](auto tag) { return decltype(tag)::type::name; })},
        {"mask", names<typename Text::Attention>([](auto tag) { return decltype(tag)::type::mask::name; })},
        {"cache", names<typename Text::KvCache>([](auto tag) { return decltype(tag)::type::name; })},
        {"codec", names<typename Text::KvCache>([](auto tag) { return decltype(tag)::type::codec::name; })},
        {"position", Text::Position::name},
        {"vision_attention", names<typename Vision::Attention>([](auto tag) { return decltype(tag)::type::name; })},
        {"vision_mask", names<typename Vision::Attention>([](auto tag) { return decltype(tag)::type::mask::name; })}};
}

/// The file for LoadOptions::parameters of a model; none where its policies bring nothing. In a folder: the file with
/// the bundle's name.
template <class M>
std::vector<std::string> parameters_for(const std::string& path, const std::string& bundle) {
    if (path.empty()) return {};
    for (const auto& p : M::manifest().parameters)
        if (p.of_policy) return {std::filesystem::is_directory(path) ? path + "/" + bundle + ".safetensors" : path};
    return {};
}

}  // namespace policy_fields
