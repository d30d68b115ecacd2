#pragma once
#include <algorithm>
#include <functional>
#include <numeric>
#include <qwen3vl/memory/role.hpp>
#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/weights/stored_format.hpp>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// One parameter of a model type: its name and shape in files, and its format and place in a model. Team is the
/// execution policy's.
template <class Team>
struct Parameter {
    static constexpr int everywhere = -1;  ///< used in no stage alone

    std::string name;                                     ///< in the files
    Shape shape;                                          ///< outermost extent first
    const weights::StoredFormat<Team>* format = nullptr;  ///< format of a matrix; null: a vector, which is float32
    memory::Role role = {};                               ///< role of a matrix
    int stage = everywhere;                   ///< the stage of a matrix that is used in one alone; see Manifest
    bool of_policy = false;                   ///< true: a policy brings it, not the architecture
    std::size_t packed = 0;                   ///< number of a matrix in a packed file
    weights::WeightMatrix* matrix = nullptr;  ///< in a model: the matrix, or
    std::vector<float>* vector = nullptr;     ///< the vector

    /// Outermost extent; 1 for a scalar.
    std::int64_t rows() const { return shape.empty() ? 1 : shape[0]; }
    /// Numbers.
    std::int64_t elements() const {
        return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
    }
    /// Numbers to a row.
    std::int64_t cols() const { return elements() / std::max<std::int64_t>(1, rows()); }
    /// Bytes in memory, in the layout of its kernels.
    std::int64_t bytes() const {
        return format ? format->bytes(rows(), cols()) : elements() * static_cast<std::int64_t>(sizeof(float));
    }
};

/// Every parameter of a model type, said once: loading, memory plan, streaming, packed files and fingerprint read it.
///
/// The stages of a model are the tower's, in the order of vision/parameters.hpp, then the decoder's layers, then the
/// embedding and the head together.
template <class Team>
struct Manifest {
    std::vector<Parameter<Team>> parameters;  ///< in the order of the forward pass, a policy's own behind them
    std::vector<std::size_t>
        matrices;  ///< parameters that have a weight format, those of a stage together: the order of a packed file
    std::size_t embedding = 0, head = 0;  ///< numbers in a packed file; one where they are tied
    int tower_stages = 0, layers = 0;     ///< stages of the tower; decoder layers

    /// Parameter of the matrix of that number in a packed file.
    const Parameter<Team>& matrix(std::size_t packed) const { return parameters[matrices[packed]]; }
    /// Stage of a decoder layer.
    int layer_stage(int layer) const { return tower_stages + layer; }
    /// Stage of embedding and head.
    int head_stage() const { return tower_stages + layers; }

    /// Puts the matrices in order.
    void sort() {
        std::vector<std::size_t> first(static_cast<std::size_t>(head_stage()) + 2,
                                       parameters.size());  // by stage: its first parameter
        const auto rank = [&](std::size_t i) -> std::size_t& {
            return first[static_cast<std::size_t>(parameters[i].stage + 1)];
        };
        matrices.clear();
        for (std::size_t i = 0; i < parameters.size(); ++i)
            if (parameters[i].format) {
                matrices.push_back(i);
                rank(i) = std::min(rank(i), i);
            }
        std::stable_sort(matrices.begin(), matrices.end(),
                         [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
        bool embedded = false;
        for (std::size_t i = 0; i < matrices.size(); ++i) {
            parameters[matrices[i]].packed = i;
            if (matrix(i).stage != head_stage()) continue;
            if (!embedded) embedding = i;
            head = i;
            embedded = true;
        }
    }
};

namespace detail {

/// Joins several callables to one.
template <class... F>
struct Overloaded : F... {
    using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

/// The manifest of a model of Dims D with policies P, which points to the parameters of `p`.
template <Dims D, class P, class Team = typename P::Execution::Team>
[[gnu::noinline]] Manifest<Team> manifest_of(ModelParameters<P>& p) {
    using Arch = typename P::Arch;
    Manifest<Team> m;
    m.layers = D::text.layers;
    if constexpr (VisionLanguageDims<D>) m.tower_stages = vision::stage_count(D::vision);
    const auto format_of_layer = [](int layer) {
        const weights::StoredFormat<Team>* format = nullptr;
        with_layer_slots<P>(static_cast<std::size_t>(layer), [&](auto index) {
            format = &weights::stored_format<Arch, typename LayerSlots<P, index()>::StoredWeights, Team>;
        });
        return format;
    };
    const auto kept = [](memory::Pool pool, int group) { return memory::Role{pool, memory::Content::kept, group}; };
    const auto add = [&](const std::string& name, const Shape& shape, weights::WeightMatrix& matrix,
                         const weights::StoredFormat<Team>* format, const memory::Role& role, int stage,
                         bool of_policy = false) {
        m.parameters.push_back({.name = name,
                                .shape = shape,
                                .format = format,
                                .role = role,
                                .stage = stage,
                                .of_policy = of_policy,
                                .matrix = &matrix});
    };
    const auto in_layer = [&](const std::string& name, const Shape& shape, weights::WeightMatrix& w, int layer,
                              memory::Pool pool, bool of_policy) {
        add(name, shape, w, format_of_layer(layer), kept(pool, layer), m.layer_stage(layer), of_policy);
    };
    const auto add_vector = [&](const std::string& name, const Shape& shape, std::vector<float>& vector, OfPolicy) {
        m.parameters.push_back({.name = name, .shape = shape, .of_policy = true, .vector = &vector});
    };
    visit_parameters<D>(
        p, Overloaded{add_vector,
                      [&](const std::string& name, const Shape& shape, std::vector<float>& vector) {
                          m.parameters.push_back({.name = name, .shape = shape, .vector = &vector});
                      },
                      [&](const std::string& name, const Shape& shape, weights::WeightMatrix& w, text::InEmbedding) {
                          add(name, shape, w, &weights::stored_format<Arch, typename P::Text::EmbeddingWeights, Team>,
                              kept(memory::Pool::embedding, 0), m.head_stage());
                      },
                      [&](const std::string& name, const Shape& shape, weights::WeightMatrix& w, text::InLayer at) {
                          in_layer(name, shape, w, at.layer, at.pool, false);
                      },
                      [&](const std::string& name, const Shape& shape, weights::WeightMatrix& w, vision::InStage at) {
                          add(name, shape, w, &weights::stored_format<Arch, typename P::Vision::Weights, Team>,
                              kept(memory::Pool::vision, at.stage), at.stage);
                      },
                      [&](const std::string& name, const Shape& shape, weights::WeightMatrix& w, OfPolicy at) {
                          if (at.layer != OfPolicy::no_layer)
                              return in_layer(name, shape, w, at.layer, memory::Pool::attention, true);
                          using Format = typename weights::streaming<policy_at<typename P::Text::Weights, 0>>::format;
                          add(name, shape, w, &weights::stored_format<Arch, Format, Team>, {},
                              Parameter<Team>::everywhere, true);
                      }});
    m.sort();
    return m;
}

}  // namespace detail

/// The manifest of a model type, which points to no parameters.
template <Dims D, class P>
Manifest<typename P::Execution::Team> manifest() {
    ModelParameters<P> none;
    auto m = detail::manifest_of<D>(none);
    for (auto& p : m.parameters) {
        p.matrix = nullptr;
        p.vector = nullptr;
    }
    return m;
}

}  // namespace qwen3vl
