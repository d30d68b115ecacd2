#pragma once
#include <map>
#include <memory>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// Tensors by name in files that are mapped read-only: the base of the formats' readers, which fill it. Views stay
/// valid as long as this object (or the one it was moved to) lives.
class MappedTensors {
  public:
    using Tensors = std::map<std::string, TensorView, std::less<>>;  ///< Views by the tensors' names.

    /// The file, or the first of several.
    const std::string& path() const { return *files_.front().path; }
    /// All files in their order.
    std::vector<std::string> paths() const {
        std::vector<std::string> all;
        for (const File& file : files_) all.push_back(*file.path);
        return all;
    }
    /// Lets go of a tensor's pages: see MappedFile::release.
    void release(const TensorView& t) const {
        for (const File& file : files_) file.mapping.release(t.data, t.bytes());
    }
    /// All tensors of all files.
    const Tensors& tensors() const { return tensors_; }

    /// The tensor of that name, or null.
    const TensorView* find(std::string_view name) const {
        const auto it = tensors_.find(name);
        return it == tensors_.end() ? nullptr : &it->second;
    }
    /// The tensor of that name; throws LoadError where there is none.
    const TensorView& at(std::string_view name) const {
        if (const TensorView* t = find(name)) return *t;
        throw LoadError(path(), std::string(name), "a tensor of this name",
                        "none among " + std::to_string(tensors_.size()));
    }

  protected:
    /// A file and its mapping.
    struct File {
        /// Maps the whole file. Throws FileError.
        explicit File(const std::string& name) : path(std::make_unique<const std::string>(name)), mapping(name) {}

        std::unique_ptr<const std::string> path;  ///< at an address of its own: the views refer to it
        MappedFile mapping;                       ///< the file's bytes, which views refer to
    };

    MappedTensors() = default;

    std::vector<File> files_;  ///< of one model, in order
    Tensors tensors_;          ///< of all files, filled by the reader
};

}  // namespace qwen3vl::checkpoint
