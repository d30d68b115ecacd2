#pragma once
#include <cstdint>
#include <qwen3vl/checkpoint/gguf_metadata.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Writes the bytes of a GGUF file, well-formed or not.
class GgufBytes {
  public:
    template <class T>
    static std::string number(T value) {
        return std::string(reinterpret_cast<const char*>(&value), sizeof value);
    }
    static std::string text(std::string_view s) { return number<std::uint64_t>(s.size()) + std::string(s); }
    static std::string type(qwen3vl::checkpoint::GgufType t) { return number(static_cast<std::uint32_t>(t)); }

    /// A metadata entry whose value is these bytes.
    GgufBytes& entry(std::string_view key, qwen3vl::checkpoint::GgufType t, const std::string& value) {
        ++entries_;
        metadata_ += text(key) + type(t) + value;
        return *this;
    }
    GgufBytes& u32(std::string_view key, std::uint32_t v) {
        return entry(key, qwen3vl::checkpoint::GgufType::u32, number(v));
    }
    GgufBytes& u16(std::string_view key, std::uint16_t v) {
        return entry(key, qwen3vl::checkpoint::GgufType::u16, number(v));
    }
    GgufBytes& f32(std::string_view key, float v) { return entry(key, qwen3vl::checkpoint::GgufType::f32, number(v)); }
    GgufBytes& boolean(std::string_view key, bool v) {
        return entry(key, qwen3vl::checkpoint::GgufType::boolean, std::string(1, v ? '\1' : '\0'));
    }
    GgufBytes& string(std::string_view key, std::string_view v) {
        return entry(key, qwen3vl::checkpoint::GgufType::string, text(v));
    }
    GgufBytes& array(std::string_view key, qwen3vl::checkpoint::GgufType element, std::uint64_t count,
                     const std::string& bytes) {
        return entry(key, qwen3vl::checkpoint::GgufType::array, type(element) + number(count) + bytes);
    }
    GgufBytes& strings(std::string_view key, const std::vector<std::string>& list) {
        std::string bytes;
        for (const auto& s : list) bytes += text(s);
        return array(key, qwen3vl::checkpoint::GgufType::string, list.size(), bytes);
    }
    GgufBytes& i32s(std::string_view key, const std::vector<std::int32_t>& list) {
        std::string bytes;
        for (const auto i : list) bytes += number(i);
        return array(key, qwen3vl::checkpoint::GgufType::i32, list.size(), bytes);
    }

    /// A tensor of a ggml type with the extents as the file holds them, innermost first.
    GgufBytes& tensor(std::string_view name, const std::vector<std::uint64_t>& extents, std::uint32_t ggml_type,
                      std::uint64_t offset) {
        ++tensors_;
        infos_ += text(name) + number(static_cast<std::uint32_t>(extents.size()));
        for (const auto e : extents) infos_ += number(e);
        infos_ += number(ggml_type) + number(offset);
        return *this;
    }
    /// The tensor's bytes stand behind those of the tensors before it.
    GgufBytes& stored(std::string_view name, const std::vector<std::uint64_t>& extents, std::uint32_t ggml_type,
                      std::string_view bytes) {
        tensor(name, extents, ggml_type, data_.size());
        data_ += bytes;
        data_.resize((data_.size() + 31) / 32 * 32);
        return *this;
    }

    std::string header(std::uint32_t version = 3) const {
        return "GGUF" + number(version) + number(tensors_) + number(entries_) + metadata_ + infos_;
    }
    /// The whole file: header, padding to a multiple of 32, and so many bytes of data beside those of stored().
    std::string file(std::size_t data_bytes = 0) const {
        std::string out = header();
        out.resize((out.size() + 31) / 32 * 32);
        return out + data_ + std::string(data_bytes, '\1');
    }

  private:
    std::uint64_t entries_ = 0, tensors_ = 0;
    std::string metadata_, infos_, data_;
};
