#pragma once
#include <algorithm>
#include <qwen3vl/checkpoint/gguf_header.hpp>
#include <qwen3vl/checkpoint/gguf_split.hpp>
#include <qwen3vl/checkpoint/mapped_tensors.hpp>
#include <qwen3vl/core/checked.hpp>
#include <string>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// A GGUF file, or all parts of one that was split, mapped read-only. The metadata's strings stay valid as long as the
/// views. Tensors have the names of the file, and shapes with the outermost extent first. The metadata are those of the
/// first part.
///
/// Everything is checked before a view is given out: metadata, types, shapes and alignment. Every tensor lies within
/// its file and overlaps no other, and the parts belong together. Opening touches the headers only.
class GgufFile : public MappedTensors {
  public:
    /// `path` is the file, or any of the parts. Throws FileError where a file is missing or cannot be mapped; LoadError
    /// or ConfigError where one is damaged or hostile, or no part of the others' model.
    static GgufFile open(const std::string& path) { return GgufFile(path); }

    /// Metadata of the file, or of the first part.
    const GgufMetadata& metadata() const { return metadata_.front(); }

  private:
    struct Part {
        explicit Part(const std::string& name) : file(name) {
            const auto bytes = file.mapping.bytes();
            GgufHeader header = GgufParser::parse(bytes, *file.path);
            check_places(header, bytes.size(), *file.path);
            metadata = std::move(header.metadata);
            for (auto& [tensor, t] : header.tensors)
                tensors.emplace_hint(
                    tensors.end(), tensor,
                    TensorView{t.dtype, std::move(t.shape), bytes.data() + header.data_begin + t.begin, *file.path});
        }

        File file;
        GgufMetadata metadata;
        Tensors tensors;
    };

    explicit GgufFile(const std::string& path) {
        Part named(path);
        const auto split = GgufSplit::parts(path, named.metadata);
        if (!split) {
            add(std::move(named));
            return;
        }
        for (std::int64_t n = 1; n <= split->count; ++n) {
            if (n == split->number) {
                add(std::move(named));
            } else {
                Part part(split->path(n));
                GgufSplit::check(*split, n, part.metadata);
                add(std::move(part));
            }
        }
        for (std::int64_t n = 1; n <= split->count; ++n) {
            const GgufMetadata& part = metadata_[static_cast<std::size_t>(n - 1)];
            GgufSplit::check_same(metadata(), part);
            GgufSplit::check_tensors(part, n, tensors_.size());
        }
    }

    void add(Part&& part) {
        tensors_.merge(part.tensors);
        if (!part.tensors.empty()) {
            const auto& [name, view] = *part.tensors.begin();
            throw LoadError(*part.file.path, name, "each tensor in one part",
                            "it in " + std::string(tensors_.find(name)->second.file) + " too");
        }
        files_.push_back(std::move(part.file));
        metadata_.push_back(std::move(part.metadata));
    }

    /// Throws unless every tensor lies within the file, and none in another.
    static void check_places(const GgufHeader& header, std::uint64_t file_size, const std::string& file) {
        using Item = std::pair<const std::string, GgufHeader::Tensor>;
        const std::uint64_t data_size = file_size - std::min(file_size, header.data_begin);
        std::vector<const Item*> order;
        order.reserve(header.tensors.size());
        for (const auto& item : header.tensors) {
            const auto end = checked_add(item.second.begin, item.second.bytes);
            if (!end || *end > data_size) {
                throw LoadError(file, item.first, "data within the file's " + std::to_string(data_size) + " data bytes",
                                std::to_string(item.second.bytes) + " bytes at " + std::to_string(item.second.begin));
            }
            order.push_back(&item);
        }
        std::sort(order.begin(), order.end(),
                  [](const Item* a, const Item* b) { return a->second.begin < b->second.begin; });
        for (std::size_t i = 1; i < order.size(); ++i) {
            const auto& [before, b] = *order[i - 1];
            const auto& [name, t] = *order[i];
            if (t.begin < b.begin + b.bytes)
                throw LoadError(
                    file, name,
                    "data behind that of '" + before + "', which ends at " + std::to_string(b.begin + b.bytes),
                    "a begin at " + std::to_string(t.begin));
        }
    }

    std::vector<GgufMetadata> metadata_;
};

}  // namespace qwen3vl::checkpoint
