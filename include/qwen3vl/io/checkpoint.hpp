#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <qwen3vl/io/gguf_checkpoint.hpp>
#include <qwen3vl/io/hf_config.hpp>
#include <qwen3vl/io/safetensors.hpp>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/stat.h>

namespace qwen3vl::inline QWEN3VL_ABI::io {

/// A Hugging Face folder: config.json, and model.safetensors or the shards that model.safetensors.index.json lists, all mapped; or a GGUF file, which
/// stands for such a folder (gguf_checkpoint.hpp). The views that it gives out stay valid as long as this object (or the one it was moved to) lives.
/// take() and unused() serve a loader, which asks for each parameter once and wants to know at the end what nobody asked for; one thread at a time.
class Checkpoint {
  public:
    /// `path` is a folder or a .gguf file, `mmproj` the GGUF file of its vision part (empty: the file mmproj*.gguf beside it). Throws FileError where a
    /// file is missing or unreadable, ConfigError where a JSON file or GGUF key is malformed, LoadError where a file is damaged, where the path is neither
    /// GGUF nor a folder of safetensors, where shards and index disagree, and where safetensors are quantised (FP8, AWQ, GPTQ, …).
    static Checkpoint open(const std::string& path, const std::string& mmproj = {}) { return Checkpoint(path, mmproj); }

    /// The folder, or the GGUF file.
    const std::string& folder() const { return folder_; }
    const HfConfig& config() const { return *config_; }
    const SafetensorsFile::Tensors& tensors() const { return tensors_; }
    /// The files that hold the tensors, in no particular order.
    std::vector<std::string> files() const {
        std::vector<std::string> paths;
        for (const auto& file : files_) paths.push_back(file.path());
        if (gguf_) paths.push_back(gguf_->model().path());
        if (gguf_ && gguf_->vision()) paths.push_back(gguf_->vision()->path());
        return paths;
    }
    /// Null where this is a folder.
    const GgufCheckpoint* gguf() const { return gguf_ ? &*gguf_ : nullptr; }

    /// The tensor of that name, or null. Does not count as use.
    const TensorView* find(std::string_view name) const {
        const auto it = tensors_.find(name);
        return it == tensors_.end() ? nullptr : &it->second;
    }

    /// The tensor of that name, marked as used. Throws LoadError where it is missing, has another shape, or is not F32, F16, BF16 or of a block type.
    TensorView take(const std::string& name, const std::vector<std::int64_t>& shape) {
        const std::string expected = std::string(gguf_ ? "F32, F16, BF16 or blocks" : "F32, F16 or BF16") + " of shape " + shape_text(shape);
        const auto it = tensors_.find(name);
        if (it == tensors_.end()) throw LoadError(weights_, own_name(name), expected, "no such tensor");
        const TensorView& t = it->second;
        const bool computable = t.dtype == DType::f32 || t.dtype == DType::f16 || t.dtype == DType::bf16 || is_block_type(t.dtype);
        if (!computable || t.shape != shape)
            throw LoadError(std::string(t.file), own_name(name), expected, std::string(dtype_name(t.dtype)) + " of shape " + shape_text(t.shape));
        used_.insert(it->first);
        return t;
    }

    /// Lets go of a tensor's pages, where they are a mapped file's: they leave this process's memory until somebody reads them again.
    void release(const TensorView& t) const {
        for (const auto& file : files_) file.release(t);
        if (gguf_) gguf_->release(t);
    }

    /// Tells this checkpoint from another, or from itself before somebody changed it: names, types and shapes of the tensors, size and time of change of
    /// their files, and a sample of every tensor's bytes.
    std::uint64_t fingerprint() const {
        std::uint64_t h = 0;
        for (const auto& [name, t] : tensors_) {
            h = checksum(name + ' ' + std::string(dtype_name(t.dtype)) + shape_text(t.shape), h);
            const std::size_t bytes = t.bytes(), sample = std::min<std::size_t>(bytes, 64);
            for (std::size_t i = 0; i < 4; ++i) h = checksum(t.data + (bytes - sample) / 3 * i, sample, h);
        }
        for (const auto& path : files()) {
            struct stat s {};
            ::stat(path.c_str(), &s);
            const std::int64_t numbers[] = {s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec};
            h = checksum(reinterpret_cast<const std::byte*>(numbers), sizeof numbers, h);
        }
        return h;
    }

    /// The names that take() was not asked for, sorted. Known to be harmless: lm_head.weight beside a tied table, and rotary inv_freq buffers.
    std::vector<std::string> unused() const {
        std::vector<std::string> names;
        for (const auto& [name, view] : tensors_) {
            if (!used_.contains(name)) names.push_back(name);
        }
        return names;
    }

  private:
    Checkpoint(const std::string& path, const std::string& mmproj) : folder_(path) {
        if (GgufCheckpoint::is_path(path)) {
            gguf_ = GgufCheckpoint::open(path, mmproj);
            config_ = gguf_->config();
            tensors_ = gguf_->tensors();
            weights_ = path;
        } else {
            if (!mmproj.empty()) throw LoadError(mmproj + ": a vision part in GGUF belongs to a model in GGUF, found " + path);
            check_folder(path);
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
            throw LoadError(folder + ": expected model.safetensors or model.safetensors.index.json beside config.json, found neither" + other_weights());
        }
        refuse_quantized_tensors();
    }

    static void check_folder(const std::string& folder) {
        static const std::string wanted = "expected a Hugging Face checkpoint folder with config.json and model.safetensors, or a .gguf file, found ";
        std::error_code error;
        const auto status = std::filesystem::status(folder, error);
        if (!std::filesystem::exists(status)) throw FileError(folder + ": " + wanted + "nothing there");
        if (!std::filesystem::is_directory(status)) throw LoadError(folder + ": " + wanted + "another file; pass the folder that holds it");
        if (!std::filesystem::exists(folder + "/config.json", error)) throw FileError(folder + ": " + wanted + "no config.json");
    }

    /// What a folder without safetensors holds instead.
    std::string other_weights() const {
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
            const auto extension = entry.path().extension();
            if (extension == ".gguf") return "; it holds GGUF files: name one of them";
            if (extension == ".bin" || extension == ".pt" || extension == ".pth") return "; it holds PyTorch files: save them as safetensors first";
        }
        return "";
    }

    [[noreturn]] void refuse(const std::string& where, const std::string& method) const {
        throw LoadError(where + ": the checkpoint is quantised with " + method +
                        ", which is not supported: use the unquantised checkpoint (BF16, F16 or F32) and choose a " + "weight format of the library for it");
    }

    void refuse_quantized_config() const {
        for (const auto& part : {config_->root(), config_->text()}) {
            const auto quantization = part.object("quantization_config");
            if (!quantization) continue;
            static const std::map<std::string, std::string> names = {{"fp8", "FP8"}, {"fbgemm_fp8", "FP8"}, {"awq", "AWQ"}, {"gptq", "GPTQ"}};
            const std::string method = quantization->string("quant_method").value_or("an unnamed method");
            const auto name = names.find(method);
            refuse(config_->file() + ": field '" + part.path("quantization_config") + "'", name == names.end() ? method : name->second);
        }
    }

    /// Some quantised folders say so by their tensors alone.
    void refuse_quantized_tensors() const {
        for (const auto& [name, view] : tensors_) {
            const std::string where = std::string(view.file) + ": tensor '" + name + "'";
            if (view.dtype == DType::f8_e4m3 || view.dtype == DType::f8_e5m2 || name.ends_with(".weight_scale_inv")) refuse(where, "FP8");
            if (name.ends_with(".qweight") || name.ends_with(".qzeros")) refuse(where, "AWQ or GPTQ");
        }
    }

    void open_shards() {
        const auto json = parse_json(read_file(weights_), weights_);
        const JsonObject root(json, weights_);
        const auto* map = root.find("weight_map");
        if (!map || !map->is_object()) root.fail("weight_map", "an object", map ? JsonObject::text_of(*map) : "nothing");
        const JsonObject weight_map(*map, weights_, "weight_map");
        std::map<std::string, std::size_t> shards;  // file name -> index in files_
        for (const auto& [name, value] : map->items()) {
            const std::string shard = weight_map.string(name).value_or("");
            if (shard.find('/') != std::string::npos || shard.find('\0') != std::string::npos || !shard.ends_with(".safetensors")) {
                weight_map.fail(name, "the name of a .safetensors file in the same folder", JsonObject::text_of(value));
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
                    throw LoadError(file.path(), name, "each tensor in one shard", "it in " + std::string(listed->second.file) + " too");
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

/// What a folder's config.json or a GGUF file says of its model, without opening the weights of a folder. Throws as Checkpoint::open.
inline HfConfig read_config(const std::string& path, const std::string& mmproj = {}) {
    return GgufCheckpoint::is_path(path) ? GgufCheckpoint::open(path, mmproj).config() : HfConfig::open(path);
}

}  // namespace qwen3vl::io
