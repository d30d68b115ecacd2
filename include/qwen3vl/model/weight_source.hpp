#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/weights/input_gram.hpp>
#include <string>

/// Sources of a model's parameters: a checkpoint, decorators over it (model/load.hpp), or a test's numbers.
namespace qwen3vl::inline QWEN3VL_ABI {
namespace concepts {

/// Source of tensors by name: take(name, shape) is called once for each parameter, and throws LoadError where it has
/// none of that name and shape. The view stays valid while the model lives. A source may also offer
///   release(view)        lets go of a tensor's memory after it was converted
///   fingerprint()        tells this source from another; packed files need it
///   moments(name, cols)  moments of a matrix's columns, by which formats round; nothing where they are not known
template <class S>
concept WeightSource = requires(S& source, const std::string& name, const Shape& shape) {
    { source.take(name, shape) } -> std::same_as<TensorView>;
};

}  // namespace concepts

/// A source that looks at what another one gives: derive from it, and replace some members. Members that the other one
/// does not have are not there.
template <class Source>
class WeightSourceDecorator {
  public:
    /// The other source outlives this one.
    explicit WeightSourceDecorator(Source& source) : source_(&source) {}
    /// The other source's tensor; may throw as it does.
    TensorView take(const std::string& name, const Shape& shape) { return source_->take(name, shape); }
    /// Lets go of a tensor's memory.
    void release(const TensorView& view) requires requires(Source& s) { s.release(view); }
    { source_->release(view); }
    /// The other source's fingerprint.
    std::uint64_t fingerprint() const requires requires(const Source& s) { s.fingerprint(); }
    { return source_->fingerprint(); }
    /// The other source's moments of a matrix.
    std::optional<weights::InputGram> moments(const std::string& name, std::int64_t cols) requires requires(Source& s) {
        s.moments(name, cols);
    }
    { return source_->moments(name, cols); }

  protected:
    Source* source_;  ///< the other one
};

namespace detail {

/// Any source as values, so that loading is compiled once for all. Outlived by the source.
struct AnyWeightSource {
    std::function<TensorView(const std::string&, const Shape&)> take;
    std::function<void(const TensorView&)> release = [](const TensorView&) {};
    std::function<std::optional<weights::InputGram>(const std::string&, std::int64_t)> moments =
        [](const std::string&, std::int64_t) { return std::optional<weights::InputGram>(); };
    std::optional<std::uint64_t> fingerprint;

    template <concepts::WeightSource Source>
    explicit AnyWeightSource(Source& source)
        : take([&](const std::string& name, const Shape& shape) { return source.take(name, shape); }) {
        if constexpr (requires(const TensorView& view) { source.release(view); })
            release = [&](const TensorView& view) { source.release(view); };
        if constexpr (requires(const std::string& name) { source.moments(name, std::int64_t{}); })
            moments = [&](const std::string& name, std::int64_t cols) { return source.moments(name, cols); };
        if constexpr (requires { source.fingerprint(); }) fingerprint = source.fingerprint();
    }
};

}  // namespace detail
}  // namespace qwen3vl
