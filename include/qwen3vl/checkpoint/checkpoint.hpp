#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <qwen3vl/checkpoint/gguf_checkpoint.hpp>
#include <qwen3vl/checkpoint/hf_config.hpp>
#include <qwen3vl/checkpoint/safetensors.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::checkpoint {

namespace detail {
[[noreturn]] inline void refuse_folder(const std::string& path, const std::string& found) {
    throw FileError(
        path +
        ": expected a Hugging Face checkpoint folder with config.json and model.safetensors, or a .gguf file, found " +
        found);
}
}  // namespace detail

/// Throws FileError where the path of a checkpoint folder leads to nothing, or to a file: the message names the folder
/// of a checkpoint's file.
inline void require_folder(const std::string& path) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return;
    if (!std::filesystem::exists(path, error)) detail::refuse_folder(path, "nothing there");
    const std::filesystem::path file(path);
    const std::string folder = file.has_parent_path() ? file.parent_path().string() : ".";
    const bool inside = file.extension() == ".safetensors" || std::filesystem::exists(folder + "/config.json", error);
    detail::refuse_folder(path, inside ? "a file of such a folder; name the folder: " + folder : "another file");
}

/// Throws FileError where the path leads to no folder, as require_folder(), or to one without config.json.
inline void require_config(const std::string& folder) {
    require_folder(folder);
    std::error_code error;
    if (!std::filesystem::exists(folder + "/config.json", error)) detail::refuse_folder(folder, "no config.json");
}

/// A Hugging Face folder: config.json, and model.safetensors or the shards that model.safetensors.index.json lists, all
/// mapped. Or a GGUF file (any part of a split one), which stands for such a folder (gguf_checkpoint.hpp). Its views
/// stay valid as long as this object, or the one it was moved to, lives. take() and unused() serve a loader, which
/// takes each parameter once and asks at the end what was not taken. Used by one thread at a time.
class Checkpoint {
  public:
    /// `path` is a folder or a .gguf file, `mmproj` the GGUF file of its vision part (empty: the file mmproj*.gguf
    /// beside it). Throws FileError where a file is missing or unreadable, or the path is neither GGUF nor a folder.
    /// Throws ConfigError where a JSON file or GGUF key is malformed. Throws LoadError where a file is damaged, a
    /// folder has no safetensors, shards and index disagree, or safetensors are quantised (FP8, AWQ, GPTQ, …).
    static Checkpoint open(const std::string& path, const std::string& mmproj = {});

    /// The folder, or the GGUF file.
    const std::string& folder() const { return folder_; }
    /// The model's config.json, or what a GGUF file says in its place.
    const HfConfig& config() const { return *config_; }
    /// All tensors by name.
    const SafetensorsFile::Tensors& tensors() const { return tensors_; }
    /// The files that hold the tensors, in no particular order.
    std::vector<std::string> files() const {
        std::vector<std::string> paths;
        for (const auto& file : files_) paths.push_back(file.path());
        if (gguf_) paths = gguf_->files();
        return paths;
    }
    /// Null where this is a folder.
    const GgufCheckpoint* gguf() const { return gguf_ ? &*gguf_ : nullptr; }

    /// The tensor of that name, or null. Does not count as use.
    const TensorView* find(std::string_view name) const {
        const auto it = tensors_.find(name);
        return it == tensors_.end() ? nullptr : &it->second;
    }

    /// The tensor of that name, marked as used. Throws LoadError where it is missing, has another shape, or is not F32,
    /// F16, BF16 or of a block type.
    TensorView take(const std::string& name, const std::vector<std::int64_t>& shape);

    /// Lets go of a tensor's pages, where they are a mapped file's: they leave this process's memory until they are
    /// read again.
    void release(const TensorView& t) const {
        for (const auto& file : files_) file.release(t);
        if (gguf_) gguf_->release(t);
    }

    /// Tells this checkpoint from another, or from itself before a change. Hashes the tensors' names, types and shapes,
    /// their files' sizes and times of change, and a sample of every tensor's bytes.
    std::uint64_t fingerprint() const;

    /// Names of tensors that were not taken, sorted. Known to be harmless: lm_head.weight beside a tied table, and
    /// rotary inv_freq buffers.
    std::vector<std::string> unused() const;

  private:
    Checkpoint(const std::string& path, const std::string& mmproj) : folder_(path) {
        if (GgufCheckpoint::is_path(path)) {
            gguf_ = GgufCheckpoint::open(path, mmproj);
            config_ = gguf_->config();
            tensors_ = gguf_->tensors();
            weights_ = gguf_->model().path();
        } else {
            if (!mmproj.empty())
                throw LoadError(mmproj + ": a vision part in GGUF belongs to a model in GGUF, found " + path);
            require_config(path);
            config_ = HfConfig::open(path);
            open_safetensors(path);
        }
    }

    /// The name that a tensor has in its file, for messages.
    std::string own_name(const std::string& name) const { return gguf_ ? gguf_->own_name(name) : name; }

    void open_safetensors(const std::string& folder) {
        refuse_quantized_config();
        const std::string single = folder + "/model.safetensors", index = folder + "/model.safetensors.index.json";
        std::error_code error;
        if (std::filesystem::exists(single, error)) {
            weights_ = single;
            files_.push_back(SafetensorsFile::open(single));
            tensors_ = files_.front().tensors();
        } else if (std::filesystem::exists(index, error)) {
            weights_ = index;
            open_shards();
        } else {
            throw LoadError(
                folder +
                ": expected model.safetensors or model.safetensors.index.json beside config.json, found neither" +
                other_weights());
        }
        refuse_quantized_tensors();
    }

    /// Weights in other formats that a folder without safetensors holds, in words for the error; empty: none.
    std::string other_weights() const {
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
            const auto extension = entry.path().extension();
            if (extension == ".gguf") return "; it holds GGUF files: name one of them";
            if (extension == ".bin" || extension == ".pt" || extension == ".pth")
                return "; it holds PyTorch files: save them as safetensors first";
        }
        return "";
    }

    [[noreturn]] void refuse(const std::string& where, const std::string& method) const {
        throw LoadError(where + ": the checkpoint is quantised with " + method +
                        ", which is not supported: use the unquantised checkpoint (BF16, F16 or F32) and choose a " +
                        "weight format of the library for it");
    }

    void refuse_quantized_config() const {
        for (const auto& part : {config_->root(), config_->text()}) {
            const auto quantization = part.object("quantization_config");
            if (!quantization) continue;
            static const std::map<std::string, std::string> names = {
                {"fp8", "FP8"}, {"fbgemm_fp8", "FP8"}, {"awq", "AWQ"}, {"gptq", "GPTQ"}};
            const std::string method = quantization->string("quant_method").value_or("an unnamed method");
            const auto name = names.find(method);
            refuse(config_->file() + ": field '" + part.path("quantization_config") + "'",
                   name == names.end() ? method : name->second);
        }
    }

    /// Refuses quantised folders that say so by their tensors alone.
    void refuse_quantized_tensors() const {
        for (const auto& [name, view] : tensors_) {
            const std::string where = std::string(view.file) + ": tensor '" + name + "'";
            if (view.dtype == DType::f8_e4m3 || view.dtype == DType::f8_e5m2 || name.ends_with(".weight_scale_inv"))
                refuse(where, "FP8");
            if (name.ends_with(".qweight") || name.ends_with(".qzeros")) refuse(where, "AWQ or GPTQ");
        }
    }

    void open_shards() {
        const auto json = json_reader::parse_json(read_file(weights_), weights_);
        const json_reader::JsonObject root(json, weights_);
        const auto* map = root.find("weight_map");
        if (!map || !map->is_object())
            root.fail("weight_map", "an object", map ? json_reader::JsonObject::text_of(*map) : "nothing");
        const json_reader::JsonObject weight_map(*map, weights_, "weight_map");
        std::map<std::string, std::size_t> shards;  // file name -> index in files_
        for (const auto& [name, value] : map->items()) {
            const std::string shard = weight_map.string(name).value_or("");
            if (shard.find('/') != std::string::npos || shard.find('\0') != std::string::npos ||
                !shard.ends_with(".safetensors")) {
                weight_map.fail(name, "the name of a .safetensors file in the same folder",
                                json_reader::JsonObject::text_of(value));
            }
            const auto [it, fresh] = shards.try_emplace(shard, files_.size());
            if (fresh) files_.push_back(SafetensorsFile::open(folder_ + "/" + shard));
            const SafetensorsFile& file = files_[it->second];
            tensors_.emplace(name, file.at(name));
        }
        for (const auto& file : files_) {
            for (const auto& [name, view] : file.tensors()) {
                const auto listed = tensors_.find(name);
                if (listed == tensors_.end()) throw LoadError(file.path(), name, "an entry in " + weights_, "none");
                if (listed->second.file != view.file)
                    throw LoadError(file.path(), name, "each tensor in one shard",
                                    "it in " + std::string(listed->second.file) + " too");
            }
        }
    }

    std::string folder_, weights_;  // weights_: the file that lists the tensors, for messages
    std::optional<HfConfig> config_;
    std::vector<SafetensorsFile> files_;
    std::optional<GgufCheckpoint> gguf_;
    SafetensorsFile::Tensors tensors_;
    std::set<std::string, std::less<>> used_;
};

/// Reads the config of a folder's config.json or of a GGUF file, without opening a folder's weights. Throws as
/// Checkpoint::open.
HfConfig read_config(const std::string& path, const std::string& mmproj = {});

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Checkpoint Checkpoint::open(const std::string& path, const std::string& mmproj) {
    return Checkpoint(path, mmproj);
}

QWEN3VL_SUPPORT TensorView Checkpoint::take(const std::string& name, const std::vector<std::int64_t>& shape) {
    const std::string expected =
        std::string(gguf_ ? "F32, F16, BF16 or blocks" : "F32, F16 or BF16") + " of shape " + shape_text(shape);
    const auto it = tensors_.find(name);
    if (it == tensors_.end()) throw LoadError(weights_, own_name(name), expected, "no such tensor");
    const TensorView& t = it->second;
    const bool computable =
        t.dtype == DType::f32 || t.dtype == DType::f16 || t.dtype == DType::bf16 || is_block_type(t.dtype);
    if (!computable || t.shape != shape)
        throw LoadError(std::string(t.file), own_name(name), expected,
                        std::string(dtype_name(t.dtype)) + " of shape " + shape_text(t.shape));
    used_.insert(it->first);
    return t;
}

QWEN3VL_SUPPORT std::uint64_t Checkpoint::fingerprint() const { return fingerprint_of(tensors_, files(), 0); }

QWEN3VL_SUPPORT std::vector<std::string> Checkpoint::unused() const {
    std::vector<std::string> names;
    for (const auto& [name, view] : tensors_) {
        if (!used_.contains(name)) names.push_back(name);
    }
    return names;
}

QWEN3VL_SUPPORT HfConfig read_config(const std::string& path, const std::string& mmproj) {
    if (GgufCheckpoint::is_path(path)) return GgufCheckpoint::open(path, mmproj).config();
    require_config(path);
    return HfConfig::open(path);
}

#endif

}  // namespace qwen3vl::checkpoint
