#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <qwen3vl/core/layers.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/memory/arena.hpp>
#include <qwen3vl/weights/traits.hpp>
#include <string>
#include <string_view>
#include <vector>

/// Synthetic weights, on which benches and tests of full-size models run without a checkpoint.
namespace qwen3vl::inline QWEN3VL_ABI::testing {

/// The element type in which a checkpoint's tensors are the weight format's own, used where they lie; bf16, as
/// released, where there is none.
template <class Format>
constexpr DType stored_dtype() {
    for (const DType d : {DType::f32, DType::f16, DType::bf16})
        if (weights::traits<Format>::is_mapped(d)) return d;
    return DType::bf16;
}

/// A source for Model's constructor that makes a random tensor for every name and shape, at the speed of memory.
///
///     auto source = SyntheticSource::of<M>(seed);
///     const M model(*source, source, nullptr, {});
///     source->release_unmapped();
///
/// A value depends on the seed, the tensor's name and its index alone. Matrices have the deviation 1 / sqrt(fan_in), so
/// that activations keep their magnitude; norms lie around 1, biases around 0. A matrix that the model's format maps
/// stays here as long as the source lives. The views of all other tensors are valid until the next take().
class SyntheticSource {
  public:
    struct Part {
        DType dtype = DType::bf16;  ///< f32, f16 or bf16
        bool keep = true;           ///< true where the format maps this dtype
    };

    SyntheticSource(Part text, Part vision, std::uint64_t seed = 0, int threads = 0)
        : text_(text), vision_(vision), seed_(seed), team_(threads) {}

    /// Makes a source of the dtypes that the weight formats of model M store.
    template <class M>
    static std::shared_ptr<SyntheticSource> of(std::uint64_t seed = 0, int threads = 0) {
        return std::make_shared<SyntheticSource>(part<policy_at<typename M::Text::Weights, 0>>(),
                                                 part<typename M::Vision::Weights>(), seed, threads);
    }
    template <class Format>
    static constexpr Part part() {
        return {stored_dtype<Format>(), weights::traits<Format>::is_mapped(stored_dtype<Format>())};
    }

    /// Throws OutOfMemory where the system gives no memory.
    TensorView take(const std::string& name, const Shape& shape) {
        const Part part = name.starts_with("model.visual.") ? vision_ : text_;
        TensorView view{part.dtype, shape, nullptr, "synthetic weights"};
        const auto bytes = static_cast<std::int64_t>(view.bytes());
        std::byte* memory = nullptr;
        if (part.keep && shape.size() > 1) {
            memory = kept_.emplace_back(bytes).take(bytes);
        } else {
            if (scratch_.size() < bytes) {
                scratch_ = memory::Arena(bytes);
                scratch_data_ = scratch_.take(bytes);
            }
            memory = scratch_data_;
        }
        weights::with_element(part.dtype,
                              [&]<class T>(T) { fill(reinterpret_cast<T*>(memory), name, shape, view.elements()); });
        view.data = memory;
        return view;
    }

    /// Gives back the memory of tensors that the model has copied. Views of them end.
    void release_unmapped() { scratch_ = memory::Arena(); }

    /// Bytes held.
    std::int64_t bytes() const {
        std::int64_t sum = scratch_.size();
        for (const auto& block : kept_) sum += block.size();
        return sum;
    }

  private:
    /// Mean and standard deviation of a tensor's values.
    struct Distribution {
        float mean = 0.0f, deviation = 0.0f;
    };
    static Distribution distribution(std::string_view name, const Shape& shape, std::int64_t elements) {
        if (name.ends_with("bias")) return {0.0f, 0.02f};
        if (shape.size() == 1) return {1.0f, 0.05f};
        if (name.ends_with("pos_embed.weight")) return {0.0f, 0.02f};
        return {0.0f, 1.0f / std::sqrt(static_cast<float>(elements / shape[0]))};
    }

    /// FNV-1a.
    static std::uint64_t hash(std::string_view text) {
        std::uint64_t h = 0xcbf29ce484222325u;
        for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
        return h;
    }
    /// The finaliser of MurmurHash3 (Appleby): a counter becomes 32 random bits, without a state that would tie a value
    /// to the one before.
    static std::uint32_t mix(std::uint32_t h) {
        h = (h ^ (h >> 16)) * 0x85ebca6bu;
        h = (h ^ (h >> 13)) * 0xc2b2ae35u;
        return h ^ (h >> 16);
    }
    /// Finite values only: no branch for a NaN, so that the compiler vectorises the loop.
    template <class T>
    static T narrow(float v) {
        if constexpr (std::is_same_v<T, bf16>) {
            bf16 out;
            out.bits = static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(v) + 0x8000u) >> 16);
            return out;
        } else {
            return T(v);
        }
    }

    template <class T>
    void fill(T* out, const std::string& name, const Shape& shape, std::int64_t elements) {
        const Distribution d = distribution(name, shape, elements);
        const float scale =
            d.deviation * std::sqrt(3.0f) / 2147483648.0f;  // a uniform number of [-1, 1) has the deviation 1 / sqrt(3)
        const std::uint64_t key = hash(name) ^ (seed_ * 0x9e3779b97f4a7c15u);
        constexpr std::int64_t step = std::int64_t{1} << 18;
        team_.run((elements + step - 1) / step, [&](std::int64_t task, int) {
            const std::uint32_t block =
                mix(static_cast<std::uint32_t>(key) ^
                    mix(static_cast<std::uint32_t>(key >> 32) + static_cast<std::uint32_t>(task)));
            T* to = out + task * step;
            const auto count = static_cast<std::uint32_t>(std::min(step, elements - task * step));
            for (std::uint32_t i = 0; i < count; ++i)
                to[i] = narrow<T>(d.mean + scale * static_cast<float>(static_cast<std::int32_t>(mix(block + i))));
        });
    }

    Part text_, vision_;
    std::uint64_t seed_;
    execution::Threads<>::Team team_;
    std::vector<memory::Arena> kept_;
    memory::Arena scratch_;  ///< for the tensors that are not kept, one after the other
    std::byte* scratch_data_ = nullptr;
};

}  // namespace qwen3vl::testing
