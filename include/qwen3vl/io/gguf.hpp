#pragma once
#include <algorithm>
#include <map>
#include <memory>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/io/gguf_header.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::io {

/// A GGUF file, mapped read-only: views and strings stay valid as long as this object (or the one it was moved to) lives. Tensors have the names of the
/// file, and shapes with the outermost extent first.
///
/// Everything is checked before a view is given out: metadata, types, shapes, alignment, and that every tensor lies within the file and overlaps no
/// other. Opening touches the header only.
class GgufFile {
  public:
    using Tensors = std::map<std::string, TensorView, std::less<>>;

    /// Throws FileError where the file cannot be mapped, LoadError or ConfigError where it is damaged or hostile.
    static GgufFile open(const std::string& path) { return GgufFile(path); }

    const std::string& path() const { return *path_; }
    /// Lets go of a tensor's pages: see MappedFile::release.
    void release(const TensorView& t) const { file_.release(t.data, t.bytes()); }
    const GgufMetadata& metadata() const { return metadata_; }
    const Tensors& tensors() const { return tensors_; }

    /// The tensor of that name, or null.
    const TensorView* find(std::string_view name) const {
        const auto it = tensors_.find(name);
        return it == tensors_.end() ? nullptr : &it->second;
    }
    /// The tensor of that name; throws LoadError where there is none.
    const TensorView& at(std::string_view name) const {
        if (const TensorView* t = find(name)) return *t;
        throw LoadError(*path_, std::string(name), "a tensor of this name", "none among " + std::to_string(tensors_.size()));
    }

  private:
    explicit GgufFile(const std::string& path) : path_(std::make_unique<const std::string>(path)), file_(path) {
        const auto bytes = file_.bytes();
        GgufHeader header = GgufParser::parse(bytes, path);
        check_places(header, bytes.size());
        metadata_ = std::move(header.metadata);
        for (auto& [name, t] : header.tensors) {
            tensors_.emplace_hint(tensors_.end(), name, TensorView{t.dtype, std::move(t.shape), bytes.data() + header.data_begin + t.begin, *path_});
        }
    }

    /// Throws unless every tensor lies within the file, and none in another.
    void check_places(const GgufHeader& header, std::uint64_t file_size) const {
        using Item = std::pair<const std::string, GgufHeader::Tensor>;
        const std::uint64_t data_size = file_size - std::min(file_size, header.data_begin);
        std::vector<const Item*> order;
        order.reserve(header.tensors.size());
        for (const auto& item : header.tensors) {
            const auto end = checked_add(item.second.begin, item.second.bytes);
            if (!end || *end > data_size) {
                throw LoadError(*path_, item.first, "data within the file's " + std::to_string(data_size) + " data bytes",
                                std::to_string(item.second.bytes) + " bytes at " + std::to_string(item.second.begin));
            }
            order.push_back(&item);
        }
        std::sort(order.begin(), order.end(), [](const Item* a, const Item* b) { return a->second.begin < b->second.begin; });
        for (std::size_t i = 1; i < order.size(); ++i) {
            const auto& [before, b] = *order[i - 1];
            const auto& [name, t] = *order[i];
            if (t.begin < b.begin + b.bytes)
                throw LoadError(*path_, name, "data behind that of '" + before + "', which ends at " + std::to_string(b.begin + b.bytes),
                                "a begin at " + std::to_string(t.begin));
        }
    }

    std::unique_ptr<const std::string> path_;  // at an address of its own: the views refer to it
    MappedFile file_;
    GgufMetadata metadata_;
    Tensors tensors_;
};

}  // namespace qwen3vl::io
