#pragma once
#include <cmath>
#include <cstring>
#include <optional>
#include <qwen3vl/checkpoint/safetensors.hpp>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/weights/input_gram.hpp>
#include <set>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// Calibration file: statistics of a checkpoint's matrices over a small set of texts and pictures. A safetensors file
/// that examples/tools/calibrate.cpp makes; under a matrix's name it holds its InputGram as F32 [cols, block]. Matrices
/// that it lacks are rounded to nearest.
class Calibration {
  public:
    /// Throws FileError, LoadError where the file is damaged.
    static Calibration open(const std::string& path);

    /// The moments of a matrix's columns; none where the file lacks them. Throws LoadError unless they are F32 [cols,
    /// block], with a block that is a multiple of 128 up to 1024. Numbers must be finite, and not negative on the
    /// diagonal.
    std::optional<weights::InputGram> moments(const std::string& name, std::int64_t cols) {
        const TensorView* t = file_.find(name);
        if (!t) return std::nullopt;
        const std::int64_t block = t->shape.size() == 2 ? t->shape[1] : 0;
        if (t->dtype != DType::f32 || block < weights::least_gram_block || block > weights::largest_gram_block ||
            block % weights::least_gram_block || t->shape[0] != cols)
            throw LoadError(file_.path(), name,
                            "F32 of shape [" + std::to_string(cols) + ", a multiple of 128 up to 1024]",
                            std::string(dtype_name(t->dtype)) + " of shape " + shape_text(t->shape));
        weights::InputGram m{file_.path(), name, std::vector<float>(static_cast<std::size_t>(cols * block)), cols,
                             block};
        std::memcpy(m.values.data(), t->data, t->bytes());
        for (std::int64_t i = 0; i < cols * block; ++i) {
            const float v = m.values[static_cast<std::size_t>(i)];
            if (!std::isfinite(v) || (i % block == i / block % block && v < 0.0f))
                throw LoadError(file_.path(), name, "finite numbers, on the diagonal from 0", std::to_string(v));
        }
        used_.insert(name);
        return m;
    }

    /// A checksum of all that the file holds, from `seed` on.
    std::uint64_t fingerprint(std::uint64_t seed) const;

    /// Throws LoadError where the file holds something that no matrix asked for: it is another model's.
    void require_used() const;

  private:
    explicit Calibration(SafetensorsFile file) : file_(std::move(file)) {}
    SafetensorsFile file_;
    std::set<std::string> used_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Calibration Calibration::open(const std::string& path) {
    return Calibration(SafetensorsFile::open(path));
}

QWEN3VL_SUPPORT std::uint64_t Calibration::fingerprint(std::uint64_t seed) const {
    for (const auto& [name, view] : file_.tensors()) seed = checksum(view.data, view.bytes(), checksum(name, seed));
    return seed;
}

QWEN3VL_SUPPORT void Calibration::require_used() const {
    for (const auto& [name, view] : file_.tensors())
        if (!used_.contains(name))
            throw LoadError(file_.path(), name, "the name of a matrix of this model", "none of this name");
}

#endif

}  // namespace qwen3vl::checkpoint
