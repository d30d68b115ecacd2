#pragma once
#include <algorithm>
#include <map>
#include <mutex>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/kernels/simd.hpp>
#include <qwen3vl/weights/input_gram.hpp>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// Sums of the products of pairs of inputs that matrices are multiplied with, of which integer formats make use
/// (LoadOptions::calibration). Any number of threads.
class InputGramSums {
  public:
    /// `block` columns are summed together: InputGram::block.
    explicit InputGramSums(std::int64_t block = least_gram_block) : block_(block) {}

    /// Counts the inputs of the matrix at `data` from now on, under this tensor's name.
    void begin(const std::byte* data, const std::string& name, std::int64_t cols) {
        const std::lock_guard lock(mutex_);
        inputs_[data] = {name, 0, cols, std::vector<double>(static_cast<std::size_t>(cols * block_))};
    }
    /// Counts rows of inputs of the matrix at `data`, if it is one of those begun.
    template <class Arch>
    void add(const std::byte* data, ConstMatrix x) {
        const std::lock_guard lock(mutex_);
        const auto found = inputs_.find(data);
        if (found == inputs_.end()) return;
        Inputs& sum = found->second;
        const std::int64_t block = block_, rows = x.rows, cols = x.cols;
        sum.rows += rows;
        for (std::int64_t i = 0; i < cols; ++i) {
            const std::int64_t first = i / block * block;
            kernels::for_each_vector<Arch>(std::min(block, cols - first), [&](std::int64_t j, std::int64_t count) {
                kernels::vec<Arch> products(0.0f);
                for (std::int64_t r = 0; r < rows; ++r)
                    products = kernels::fma<Arch>(kernels::vec<Arch>(x.row(r)[i]),
                                                  kernels::load<Arch>(x.row(r) + first + j, count), products);
                alignas(64) float lanes[Arch::floats];
                kernels::store<Arch>(products, lanes);
                for (std::int64_t k = 0; k < count; ++k)
                    sum.products[static_cast<std::size_t>(i * block + j + k)] += static_cast<double>(lanes[k]);
            });
        }
    }
    /// The means of the tensors that met any activations, in the order of their names.
    std::vector<InputGram> means() const {
        const std::lock_guard lock(mutex_);
        std::vector<InputGram> means;
        for (const auto& [data, sum] : inputs_) {
            if (sum.rows == 0) continue;
            InputGram& m = means.emplace_back(InputGram{{}, sum.name, {}, sum.cols, block_});
            for (const double p : sum.products)
                m.values.push_back(static_cast<float>(p / static_cast<double>(sum.rows)));
        }
        std::sort(means.begin(), means.end(), [](const InputGram& a, const InputGram& b) { return a.name < b.name; });
        return means;
    }

  private:
    /// Sums over the rows of activations that a matrix met.
    struct Inputs {
        std::string name;  ///< name of the checkpoint's tensor
        std::int64_t rows = 0, cols = 0;
        std::vector<double> products;  ///< [cols, block]
    };
    mutable std::mutex mutex_;
    std::int64_t block_;
    std::map<const std::byte*, Inputs> inputs_;
};

}  // namespace qwen3vl::weights
