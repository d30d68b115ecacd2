#pragma once
#include <algorithm>
#include <map>
#include <qwen3vl/checkpoint/mapped_tensors.hpp>
#include <qwen3vl/checkpoint/safetensors_header.hpp>
#include <qwen3vl/core/checked.hpp>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <string>
#include <vector>

#include <sys/stat.h>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// A safetensors file, mapped read-only.
///
/// Everything is checked before a view is given out, as by the reference's `SafeTensors::deserialize` (safetensors
/// 0.4). That is the header's length and JSON, and every dtype, shape and offset; tensors cover the data without
/// overlap or hole. Opening touches the header only.
class SafetensorsFile : public MappedTensors {
  public:
    /// Throws FileError where the file cannot be mapped, LoadError where it is damaged or hostile.
    static SafetensorsFile open(const std::string& path) { return SafetensorsFile(path); }

    /// The header's `__metadata__`: free text by key.
    const std::map<std::string, std::string>& metadata() const { return metadata_; }

  private:
    explicit SafetensorsFile(const std::string& name) {
        const auto bytes = files_.emplace_back(name).mapping.bytes();
        SafetensorsHeader header = parse_safetensors_header(bytes, name);
        metadata_ = std::move(header.metadata);
        const auto data = bytes.subspan(header.data_begin);
        check_coverage(header, data.size());
        for (auto& [tensor, entry] : header.tensors) {
            tensors_.emplace_hint(tensors_.end(), tensor,
                                  TensorView{entry.dtype, std::move(entry.shape), data.data() + entry.begin, path()});
        }
    }

    /// Throws unless the tensors, in the order of their offsets, follow each other from the first byte of the data to
    /// the last.
    void check_coverage(const SafetensorsHeader& header, std::size_t data_size) const {
        using Item = std::pair<const std::string, SafetensorsHeader::Tensor>;
        std::vector<const Item*> order;
        order.reserve(header.tensors.size());
        for (const auto& item : header.tensors) order.push_back(&item);
        std::sort(order.begin(), order.end(), [](const Item* a, const Item* b) {
            return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
        });
        std::uint64_t end = 0;
        for (const Item* item : order) {
            const auto& t = item->second;
            if (t.end > data_size)
                throw LoadError(path(), item->first,
                                "data within the file's " + std::to_string(data_size) + " data bytes",
                                "an end at " + std::to_string(t.end));
            if (t.begin != end) {
                throw LoadError(path(), item->first,
                                "data that begins where the tensor before it ends, at " + std::to_string(end),
                                "a begin at " + std::to_string(t.begin));
            }
            end = t.end;
        }
        if (end != data_size)
            throw LoadError(path() + ": the tensors cover " + std::to_string(end) + " of the file's " +
                            std::to_string(data_size) + " data bytes");
    }

    std::map<std::string, std::string> metadata_;
};

/// Tells tensors in files from others, or from themselves before a change. Hashes their names, types and shapes, the
/// files' sizes and times of change, and a sample of every tensor's bytes.
inline std::uint64_t fingerprint_of(const SafetensorsFile::Tensors& tensors, const std::vector<std::string>& files,
                                    std::uint64_t seed) {
    std::uint64_t h = seed;
    for (const auto& [name, t] : tensors) {
        h = checksum(name + ' ' + std::string(dtype_name(t.dtype)) + shape_text(t.shape), h);
        const std::size_t bytes = t.bytes(), sample = std::min<std::size_t>(bytes, 64);
        for (std::size_t i = 0; i < 4; ++i) h = checksum(t.data + (bytes - sample) / 3 * i, sample, h);
    }
    for (const auto& path : files) {
        struct stat s {};
        ::stat(path.c_str(), &s);
        const std::int64_t numbers[] = {s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec};
        h = checksum(reinterpret_cast<const std::byte*>(numbers), sizeof numbers, h);
    }
    return h;
}

}  // namespace qwen3vl::checkpoint
