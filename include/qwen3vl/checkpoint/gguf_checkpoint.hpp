#pragma once
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <qwen3vl/checkpoint/gguf.hpp>
#include <qwen3vl/checkpoint/gguf_config.hpp>
#include <qwen3vl/checkpoint/gguf_names.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

/// A GGUF model, with its vision part where it has one, in the form of a Hugging Face checkpoint. Its config is such a
/// checkpoint's, as are the names and the row order of its tensors. Views point into the mapped files, or into memory
/// of this object where the files differ by more than names. The two temporal slices of the patch embedding are joined.
/// Architecture `llama` keeps the rows of q and k in the order of interleaved rotary pairs, 2i and 2i + 1. They are put
/// back in the order of halves, i and i + head_dim / 2. No number changes.
class GgufCheckpoint {
  public:
    /// True if a path names a GGUF file rather than a folder, by its extension.
    static bool is_path(const std::string& path) {
        std::error_code error;
        return std::filesystem::path(path).extension() == ".gguf" && !std::filesystem::is_directory(path, error);
    }

    /// Opens a model: `path` is the file, or any part of a split one. `mmproj` is the file with the vision part; empty:
    /// the one file mmproj*.gguf beside the model. Throws FileError, LoadError, ConfigError.
    static GgufCheckpoint open(const std::string& path, const std::string& mmproj = {}) {
        return GgufCheckpoint(path, mmproj);
    }

    /// Config in the form of config.json; errors name the GGUF keys.
    const HfConfig& config() const { return *config_; }
    /// The file with the decoder.
    const GgufFile& model() const { return model_; }
    /// The file with the vision part; null where there is none.
    const GgufFile* vision() const { return vision_ ? &*vision_ : nullptr; }
    /// All files, the model's first.
    std::vector<std::string> files() const {
        auto paths = model_.paths();
        if (vision_)
            for (auto& path : vision_->paths()) paths.push_back(std::move(path));
        return paths;
    }
    /// Lets go of a tensor's pages, where they are a file's: see MappedFile::release.
    void release(const TensorView& t) const {
        model_.release(t);
        if (vision_) vision_->release(t);
    }
    /// Tensors by Hugging Face name; those that have none keep their own.
    const GgufFile::Tensors& tensors() const { return tensors_; }
    /// The name that a tensor has in its file.
    std::string own_name(const std::string& name) const { return names_->gguf(name).value_or(name); }

  private:
    GgufCheckpoint(const std::string& path, const std::string& mmproj) : model_(GgufFile::open(path)) {
        const bool wants = GgufConfig::wants_vision(model_);
        if (!wants && !mmproj.empty())
            throw LoadError(mmproj + ": " + path + " is a text-only model, which has no vision part");
        if (wants) vision_ = GgufFile::open(mmproj.empty() ? find_vision(path) : mmproj);
        config_ = GgufConfig::translate(model_, vision());
        names_.emplace(wants ? "model.language_model." : "model.",
                       wants ? GgufConfig::deepstack(*vision_) : std::vector<int>());
        add(model_);
        if (vision_) add(*vision_);
        if (vision_) join_patch_embedding();
        if (model_.metadata().string("general.architecture") == "llama") order_rotary_rows();
    }

    /// The file mmproj*.gguf beside the model; throws LoadError where there is none, or several.
    static std::string find_vision(const std::string& path) {
        const auto folder = std::filesystem::path(path).parent_path();
        std::vector<std::string> found;
        std::error_code error;
        for (std::filesystem::directory_iterator it(folder.empty() ? "." : folder, error), end; !error && it != end;
             it.increment(error)) {
            const std::string name = it->path().filename().string();
            const auto part = GgufPartName::of(name);
            if (name.starts_with("mmproj") && name.ends_with(".gguf") && (!part || part->number == 1))
                found.push_back(name);
        }
        std::sort(found.begin(), found.end());
        const std::string expected = path +
                                     ": expected one file mmproj*.gguf with the vision part beside it (or its path: "
                                     "LoadOptions::mmproj, --mmproj), found ";
        if (found.empty()) throw LoadError(expected + "none");
        if (found.size() > 1) throw LoadError(expected + found[0] + ", " + found[1] + (found.size() > 2 ? ", …" : ""));
        return (folder / found[0]).string();
    }

    void add(const GgufFile& file) {
        for (const auto& [name, view] : file.tensors()) {
            const std::string known = names_->hugging_face(name).value_or(name);
            if (!tensors_.emplace(known, view).second)
                throw LoadError(std::string(view.file), name, "a tensor that no other stands for",
                                "another '" + known + "'");
        }
    }

    std::byte* allocate(std::size_t bytes) {
        owned_.push_back(std::make_unique_for_overwrite<std::byte[]>(bytes));
        return owned_.back().get();
    }

    /// v.patch_embd.weight and v.patch_embd.weight.1, each [hidden, channels, patch, patch], as [hidden, channels, 2,
    /// patch, patch].
    void join_patch_embedding() {
        const TensorView* first = vision_->find("v.patch_embd.weight");
        const TensorView* second = vision_->find("v.patch_embd.weight.1");
        if (!first || !second) return;
        const auto fail = [&](const std::string& expected, const TensorView& found) {
            throw LoadError(std::string(found.file), "v.patch_embd.weight.1", expected,
                            std::string(dtype_name(found.dtype)) + " of shape " + shape_text(found.shape));
        };
        if (first->shape.size() != 4 || is_block_type(first->dtype))
            fail("a first slice of numbers of shape [hidden, channels, patch, patch]", *first);
        if (second->shape != first->shape || second->dtype != first->dtype)
            fail(std::string(dtype_name(first->dtype)) + " of shape " + shape_text(first->shape) +
                     ", as the first slice",
                 *second);
        const auto& s = first->shape;
        const std::size_t patch = static_cast<std::size_t>(s[2] * s[3]) * dtype_bytes(first->dtype),
                          patches = static_cast<std::size_t>(s[0] * s[1]);
        std::byte* joined = allocate(2 * first->bytes());
        for (std::size_t i = 0; i < patches; ++i) {
            std::memcpy(joined + 2 * i * patch, first->data + i * patch, patch);
            std::memcpy(joined + (2 * i + 1) * patch, second->data + i * patch, patch);
        }
        tensors_.at(*names_->hugging_face("v.patch_embd.weight")) = {
            first->dtype, {s[0], s[1], 2, s[2], s[3]}, joined, first->file};
        tensors_.erase("v.patch_embd.weight.1");
    }

    /// llama.cpp convert_hf_to_gguf.py, `LlamaModel.permute`, undone.
    void order_rotary_rows() {
        const json_reader::JsonObject text = config_->text();
        const auto heads = text.integer("num_attention_heads"), kv_heads = text.integer("num_key_value_heads");
        for (auto& [name, view] : tensors_) {
            const bool query = name.ends_with(".self_attn.q_proj.weight");
            if (!query && !name.ends_with(".self_attn.k_proj.weight")) continue;
            const auto n = query || !kv_heads ? heads : kv_heads;
            const std::int64_t rows = view.shape.front();
            if (view.shape.size() != 2 || !n || *n < 1 || rows % *n != 0 || rows / *n % 2 != 0)
                throw LoadError(
                    std::string(view.file), own_name(name),
                    "a matrix of an even number of rows for each of the " + std::to_string(n.value_or(0)) + " heads",
                    "shape " + shape_text(view.shape));
            const std::int64_t head = rows / *n, half = head / 2;
            const std::size_t row_bytes = view.bytes() / static_cast<std::size_t>(rows);
            std::byte* ordered = allocate(view.bytes());
            for (std::int64_t r = 0; r < rows; ++r) {
                const std::int64_t in_head = r % head, from = r - in_head + 2 * (in_head % half) + in_head / half;
                std::memcpy(ordered + static_cast<std::size_t>(r) * row_bytes,
                            view.data + static_cast<std::size_t>(from) * row_bytes, row_bytes);
            }
            view.data = ordered;
        }
    }

    GgufFile model_;
    std::optional<GgufFile> vision_;
    std::optional<HfConfig> config_;
    std::optional<GgufNames> names_;
    GgufFile::Tensors tensors_;
    std::vector<std::unique_ptr<std::byte[]>> owned_;
};

}  // namespace qwen3vl::checkpoint
