#pragma once
#include <algorithm>
#include <map>
#include <memory>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/io/safetensors_header.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::io {

/// A safetensors file, mapped read-only: the views stay valid as long as this object (or the one it was moved to) lives.
///
/// Everything is checked before a view is given out, as the reference's `SafeTensors::deserialize` (safetensors 0.4) does: the header's
/// length and JSON, every dtype, shape and offset, and that the tensors cover the data without overlap or hole. Opening touches the header only.
class SafetensorsFile {
  public:
    using Tensors = std::map<std::string, TensorView, std::less<>>;

    /// Throws FileError where the file cannot be mapped, LoadError where it is damaged or hostile.
    static SafetensorsFile open(const std::string& path) { return SafetensorsFile(path); }

    const std::string& path() const { return *path_; }
    /// Lets go of a tensor's pages: see MappedFile::release.
    void release(const TensorView& t) const { file_.release(t.data, t.bytes()); }
    const Tensors& tensors() const { return tensors_; }
    const std::map<std::string, std::string>& metadata() const { return metadata_; }

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
    explicit SafetensorsFile(const std::string& path) : path_(std::make_unique<const std::string>(path)), file_(path) {
        const auto bytes = file_.bytes();
        SafetensorsHeader header = parse_safetensors_header(bytes, path);
        metadata_ = std::move(header.metadata);
        const auto data = bytes.subspan(header.data_begin);
        check_coverage(header, data.size());
        for (auto& [name, entry] : header.tensors) {
            tensors_.emplace_hint(tensors_.end(), name, TensorView{entry.dtype, std::move(entry.shape), data.data() + entry.begin, *path_});
        }
    }

    /// Throws unless the tensors, in the order of their offsets, follow each other from the first byte of the data to the last.
    void check_coverage(const SafetensorsHeader& header, std::size_t data_size) const {
        using Item = std::pair<const std::string, SafetensorsHeader::Tensor>;
        std::vector<const Item*> order;
        order.reserve(header.tensors.size());
        for (const auto& item : header.tensors) order.push_back(&item);
        std::sort(order.begin(), order.end(),
                  [](const Item* a, const Item* b) { return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end); });
        std::uint64_t end = 0;
        for (const Item* item : order) {
            const auto& t = item->second;
            if (t.end > data_size)
                throw LoadError(*path_, item->first, "data within the file's " + std::to_string(data_size) + " data bytes",
                                "an end at " + std::to_string(t.end));
            if (t.begin != end) {
                throw LoadError(*path_, item->first, "data that begins where the tensor before it ends, at " + std::to_string(end),
                                "a begin at " + std::to_string(t.begin));
            }
            end = t.end;
        }
        if (end != data_size)
            throw LoadError(*path_ + ": the tensors cover " + std::to_string(end) + " of the file's " + std::to_string(data_size) + " data bytes");
    }

    std::unique_ptr<const std::string> path_;  // at an address of its own: the views refer to it
    MappedFile file_;
    Tensors tensors_;
    std::map<std::string, std::string> metadata_;
};

}  // namespace qwen3vl::io
