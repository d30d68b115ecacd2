#pragma once
#include <algorithm>
#include <map>
#include <mutex>
#include <qwen3vl/weights/traits.hpp>
#include <string>
#include <vector>

/// Watching what goes into a model's matrices, for rounding them by it (LoadOptions::calibration).
namespace qwen3vl::inline QWEN3VL_ABI::weights {

/// The products of pairs of inputs of everything that matrices in the format Observed were multiplied with, by matrix. Any number of threads.
class Observations {
  public:
    /// Those of the whole program, as a format has no object of its own.
    static Observations& of_program() {
        static Observations all;
        return all;
    }

    /// Columns whose products are summed together, for matrices from now on: as ColumnMoments::block.
    void set_block(std::int64_t columns) {
        const std::lock_guard lock(mutex_);
        block_ = columns;
    }
    /// From now on the matrix at `data` is this tensor's.
    void begin(const std::byte* data, const std::string& name, std::int64_t cols) {
        const std::lock_guard lock(mutex_);
        inputs_[data] = {name, 0, cols, block_, std::vector<double>(static_cast<std::size_t>(cols * block_))};
    }
    /// Counts rows of activations [rows, cols] of the matrix at `data`.
    template <class Arch>
    void add(const std::byte* data, const float* x, std::int64_t rows, std::int64_t cols) {
        const std::lock_guard lock(mutex_);
        Inputs& sum = inputs_.at(data);
        const std::int64_t block = sum.block;
        sum.rows += rows;
        for (std::int64_t i = 0; i < cols; ++i) {
            const std::int64_t first = i / block * block;
            kernels::for_each_vector<Arch>(std::min(block, cols - first), [&](std::int64_t j, std::int64_t count) {
                kernels::vec<Arch> products(0.0f);
                for (std::int64_t r = 0; r < rows; ++r)
                    products = kernels::fma<Arch>(kernels::vec<Arch>(x[r * cols + i]), kernels::load<Arch>(x + r * cols + first + j, count), products);
                alignas(64) float lanes[Arch::floats];
                kernels::store<Arch>(products, lanes);
                for (std::int64_t k = 0; k < count; ++k) sum.products[static_cast<std::size_t>(i * block + j + k)] += static_cast<double>(lanes[k]);
            });
        }
    }
    /// The means of the tensors that met any activations, in the order of their names.
    std::vector<ColumnMoments> moments() const {
        const std::lock_guard lock(mutex_);
        std::vector<ColumnMoments> all;
        for (const auto& [data, sum] : inputs_) {
            if (sum.rows == 0) continue;
            ColumnMoments& m = all.emplace_back(ColumnMoments{{}, sum.name, {}, sum.cols, sum.block});
            for (const double p : sum.products) m.values.push_back(static_cast<float>(p / static_cast<double>(sum.rows)));
        }
        std::sort(all.begin(), all.end(), [](const ColumnMoments& a, const ColumnMoments& b) { return a.name < b.name; });
        return all;
    }

  private:
    /// Sums over the rows of activations that a matrix met.
    struct Inputs {
        std::string name;  ///< of the checkpoint's tensor
        std::int64_t rows = 0, cols = 0, block = 0;
        std::vector<double> products;  ///< [cols, block]
    };
    mutable std::mutex mutex_;
    std::int64_t block_ = least_moment_block;
    std::map<const std::byte*, Inputs> inputs_;
};

/// A format of plain rows (Mapped<...>) whose matrices tell Observations::of_program() of what they are multiplied with. Always a copy of the checkpoint's
/// tensor, so that every tensor has an address of its own.
template <class Format>
struct Observed {
    static constexpr const char* name = "observed";
};

template <class Format>
struct traits<Observed<Mapped<Format>>> : traits<Mapped<Format>> {
    using Plain = traits<Mapped<Format>>;
    static constexpr bool is_mapped(DType) { return false; }
    static bool fits(const TensorView&) { return false; }

    template <class Arch, class Team>
    static void pack(const TensorView& view, const std::string& name, std::int64_t rows, std::int64_t cols, Team& team, std::byte* out) {
        Plain::template pack<Arch>(view, name, rows, cols, team, out);
        Observations::of_program().begin(out, name, cols);
    }
    /// Counts each row once: with the first outputs.
    template <class Arch>
    static void panel(const WeightMatrix& w, std::int64_t first, std::int64_t count, const Input& x, std::int64_t begin, std::int64_t rows, float* out,
                      std::int64_t out_stride) {
        if (first == 0) Observations::of_program().add<Arch>(w.data(), reinterpret_cast<const float*>(x.data) + begin * x.cols, rows, x.cols);
        Plain::template panel<Arch>(w, first, count, x, begin, rows, out, out_stride);
    }
};

}  // namespace qwen3vl::weights
