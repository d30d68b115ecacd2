#pragma once
#include <concepts>
#include <qwen3vl/core/tensor.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::alignment {

/// How much a phrase and the regions of a picture have in common.
struct Similarity {
    std::vector<float> regions;  ///< [regions] cosines of the whole phrase with each, -1 to 1
    float score = 0;             ///< of the phrase with the whole picture, -1 to 1
};

/// Alignment policies that compare phrases with pictures: compare(parameters, words, regions), where words
/// [words, hidden] are a phrase's last hidden states and regions [regions, hidden] a picture's features.
template <class A, class Parameters>
concept ComparesPhrases = requires(const Parameters& p, ConstMatrix rows) {
    { A::compare(p, rows, rows) } -> std::same_as<Similarity>;
};

}  // namespace qwen3vl::alignment
