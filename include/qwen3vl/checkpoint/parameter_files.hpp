#pragma once
#include <cstdint>
#include <map>
#include <qwen3vl/checkpoint/safetensors.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/parameter.hpp>
#include <set>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// Safetensors files beside a checkpoint: parameters that policies bring, or others in place of the checkpoint's own.
class ParameterFiles {
  public:
    /// Maps the files. Throws FileError, and LoadError where one is damaged or two hold a tensor of one name.
    static ParameterFiles open(const std::vector<std::string>& paths);

    /// Paths of the files, in the order of LoadOptions::parameters.
    const std::vector<std::string>& paths() const { return paths_; }
    /// The tensor of that name, marked as used; null where no file holds it. Throws LoadError where it has another
    /// shape, or is not F32, F16 or BF16.
    const TensorView* take(const std::string& name, const Shape& shape);
    /// Throws LoadError where a tensor was not taken.
    void require_used() const;
    /// Lets go of a tensor's pages.
    void release(const TensorView& t) const {
        for (const auto& file : files_) file.release(t);
    }
    /// Tells these files from others, or from themselves before a change.
    std::uint64_t fingerprint(std::uint64_t seed) const;

  private:
    std::vector<std::string> paths_;
    std::vector<SafetensorsFile> files_;
    SafetensorsFile::Tensors tensors_;
    std::set<std::string, std::less<>> used_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT ParameterFiles ParameterFiles::open(const std::vector<std::string>& paths) {
    ParameterFiles out;
    out.paths_ = paths;
    for (const auto& path : paths) {
        const auto& file = out.files_.emplace_back(SafetensorsFile::open(path));
        for (const auto& [name, view] : file.tensors()) {
            const auto [known, fresh] = out.tensors_.emplace(name, view);
            if (!fresh)
                throw LoadError(path, name, "a tensor that no other file holds",
                                "it in " + std::string(known->second.file) + " too");
        }
    }
    return out;
}

QWEN3VL_SUPPORT const TensorView* ParameterFiles::take(const std::string& name, const Shape& shape) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return nullptr;
    const TensorView& t = found->second;
    if ((t.dtype != DType::f32 && t.dtype != DType::f16 && t.dtype != DType::bf16) || t.shape != shape)
        throw LoadError(std::string(t.file), name, "F32, F16 or BF16 of shape " + shape_text(shape),
                        std::string(dtype_name(t.dtype)) + " of shape " + shape_text(t.shape));
    used_.insert(name);
    return &t;
}

QWEN3VL_SUPPORT void ParameterFiles::require_used() const {
    for (const auto& [name, view] : tensors_)
        if (!used_.contains(name))
            throw LoadError(std::string(view.file), name, "the name of a parameter of this model",
                            "one that it does not have");
}

QWEN3VL_SUPPORT std::uint64_t ParameterFiles::fingerprint(std::uint64_t seed) const {
    return fingerprint_of(tensors_, paths_, seed);
}

#endif

}  // namespace qwen3vl::checkpoint
