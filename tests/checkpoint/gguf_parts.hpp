#pragma once
#include <qwen3vl/checkpoint/gguf.hpp>
#include <string>
#include <vector>
#include "gguf_bytes.hpp"

/// A GGUF file cut into parts, as llama-gguf-split and gguf-py's writer do it: the metadata stand in the first, the
/// tensors in all.
class GgufParts {
  public:
    GgufParts(const std::string& path, std::size_t count)
        : whole_(qwen3vl::checkpoint::GgufFile::open(path)), count_(count) {}

    std::size_t tensors() const { return whole_.tensors().size(); }

    /// Adds all metadata.
    void add_metadata(GgufBytes& out) const {
        for (const auto& [key, v] : whole_.metadata().values()) {
            const std::string bytes(reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size());
            if (v.is_array)
                out.array(key, v.element, v.count, bytes);
            else
                out.entry(key, v.element, bytes);
        }
    }
    void add(GgufBytes& out, const std::string& name) const {
        const qwen3vl::TensorView& t = whole_.at(name);
        std::uint32_t type = 0;
        while (qwen3vl::checkpoint::dtype_of_ggml(type) != t.dtype) ++type;
        out.stored(name, {t.shape.rbegin(), t.shape.rend()}, type, {reinterpret_cast<const char*>(t.data), t.bytes()});
    }

    /// Part `i`, from 0, but for the keys split.*.
    GgufBytes content(std::size_t i) const {
        GgufBytes out;
        if (i == 0) add_metadata(out);
        std::size_t at = 0;
        for (const auto& [name, t] : whole_.tensors())
            if (at++ * count_ / tensors() == i) add(out, name);
        return out;
    }
    /// The same with its keys.
    GgufBytes part(std::size_t i) const { return marked(content(i), i, count_, tensors()); }
    static GgufBytes marked(GgufBytes bytes, std::size_t no, std::size_t count, std::size_t tensors) {
        bytes.u16("split.no", static_cast<std::uint16_t>(no)).u16("split.count", static_cast<std::uint16_t>(count));
        const auto all = GgufBytes::number(static_cast<std::int32_t>(tensors));
        return bytes.entry("split.tensors.count", qwen3vl::checkpoint::GgufType::i32, all);
    }

    std::string name(const std::string& stem, std::size_t i) const {
        const qwen3vl::checkpoint::GgufPartName name{.stem = stem, .count = static_cast<std::int64_t>(count_)};
        return name.path(static_cast<std::int64_t>(i) + 1);
    }
    /// Writes all parts; returns their paths.
    template <class Folder>
    std::vector<std::string> write(const Folder& folder, const std::string& stem) const {
        std::vector<std::string> paths;
        for (std::size_t i = 0; i < count_; ++i) paths.push_back(folder.write(name(stem, i), part(i).file()));
        return paths;
    }

  private:
    qwen3vl::checkpoint::GgufFile whole_;
    std::size_t count_;
};
