// make_synthetic CONFIG_NAME DIR: a checkpoint of random weights in Hugging Face layout, so that a model of any shipped
// size can be loaded, planned and timed where its trained weights cannot be had. What it says is nonsense, but finite
// and the same for the same seed.
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <qwen3vl/checkpoint/hf_config_writer.hpp>
#include <qwen3vl/checkpoint/safetensors_writer.hpp>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/model/parameters.hpp>
#include <qwen3vl/testing/models.hpp>

#include "exit_code.hpp"

namespace {
namespace q = qwen3vl;
namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

struct Options {
    std::string config, folder, dtype = "bf16", tokenizer;
    std::uint64_t seed = 0;
    double shard_gigabytes = 0;  // 0: one file
};

/// A text file of the folder: its name and content.
using TextFile = std::pair<std::string, std::string>;

std::int64_t elements_of(const q::Shape& shape) {
    std::int64_t n = 1;
    for (const auto extent : shape) n *= extent;
    return n;
}

std::uint64_t bytes_of(const q::checkpoint::TensorSpec& t) {
    return static_cast<std::uint64_t>(elements_of(t.shape)) * q::dtype_bytes(t.dtype);
}

/// splitmix64 (Steele, Lea and Flood, 2014).
struct SplitMix64 {
    std::uint64_t state;
    std::uint64_t operator()() {
        std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
};

/// FNV-1a, so that a tensor's values depend on the seed and its name alone.
std::uint64_t hash(std::string_view text) {
    std::uint64_t h = 0xcbf29ce484222325u;
    for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return h;
}

/// Where a tensor's values lie: with 1 / sqrt(fan_in), a matrix keeps the magnitude of what it multiplies.
struct Distribution {
    float mean = 0, deviation = 0;
};

Distribution distribution(const std::string& name, const q::Shape& shape) {
    if (name.ends_with("bias")) return {0.0f, 0.02f};
    if (shape.size() == 1) return {1.0f, 0.05f};  // a norm
    if (name.ends_with("pos_embed.weight")) return {0.0f, 0.02f};
    return {0.0f, 1.0f / std::sqrt(static_cast<float>(elements_of(shape) / shape[0]))};
}

/// Streams a tensor of elements T. The sum of four uniform 16-bit numbers is near enough to normal (Irwin-Hall), and
/// takes one step of the generator.
template <class T>
void produce(std::uint64_t seed, Distribution d, std::int64_t elements, const q::checkpoint::ByteSink& sink) {
    constexpr float sum_deviation = 37837.2f;  // sqrt(4 (2^32 - 1) / 12)
    const float scale = d.deviation / sum_deviation;
    std::vector<T> piece(std::size_t{1} << 18);
    SplitMix64 random{seed};
    for (std::int64_t done = 0; done < elements;) {
        const auto n = static_cast<std::size_t>(std::min(elements - done, static_cast<std::int64_t>(piece.size())));
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint64_t r = random();
            const auto sum =
                static_cast<std::int32_t>((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)) -
                2 * 0xffff;
            // Exact in double (18 and 24 bits, then a mean of 0 or 1), so that every compiler gives the same weights,
            // with fused multiply-add or without.
            piece[i] = T(static_cast<float>(static_cast<double>(d.mean) +
                                            static_cast<double>(sum) * static_cast<double>(scale)));
        }
        sink(std::as_bytes(std::span(piece.data(), n)));
        done += static_cast<std::int64_t>(n);
    }
}

/// Qwen's control tokens, which have consecutive ids.
constexpr std::array control_tokens = {
    "<|endoftext|>",  "<|im_start|>",   "<|im_end|>",     "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>",  "<|box_end|>",    "<|quad_start|>", "<|quad_end|>",         "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>",  "<|video_pad|>"};

/// The id of <|endoftext|>, the first control token. A text-only model gets the block at the end of its vocabulary, as
/// in Qwen's smallest ones.
template <q::Dims D>
constexpr int first_control_token() {
    if constexpr (q::VisionLanguageDims<D>) {
        constexpr int first = D::tokens.vision_start - 9;
        static_assert(
            D::tokens.vision_end == first + 10 && D::tokens.image == first + 12 && D::tokens.video == first + 13,
            "the control tokens stand in Qwen's order");
        return first;
    } else {
        return D::text.vocab - 16;
    }
}

std::string utf8(unsigned code) {
    if (code < 0x80) return {static_cast<char>(code)};
    return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

/// The letters that stand for the 256 bytes in byte-level BPE (GPT-2's bytes_to_unicode): printable bytes for
/// themselves, the others from U+0100 on.
std::vector<std::string> byte_letters() {
    std::vector<std::string> letters;
    const auto printable = [](unsigned b) { return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae; };
    for (unsigned b = 0; b < 256; ++b) {
        if (printable(b)) letters.push_back(utf8(b));
    }
    for (unsigned b = 0, next = 0x100; b < 256; ++b) {
        if (!printable(b)) letters.push_back(utf8(next++));
    }
    return letters;
}

/// The index as a word of syllables after a space, " baka" say: what the model says can at least be read aloud.
std::string filler_word(int index) {
    constexpr std::string_view consonants = "bdfgklmnprstvz", vowels = "aeiou";
    std::string word;
    for (int rest = index, n = 0; rest > 0 || n < 2; ++n) {
        const auto syllable = static_cast<std::size_t>(rest % 70);
        word += {consonants[syllable / 5], vowels[syllable % 5]};
        rest /= 70;
    }
    return "\u0120" + word;
}

/// A byte-level BPE without merges: every text is spelt in bytes, and the rest of the vocabulary is words that only the
/// model utters.
std::string tokenizer_json(int first_control) {
    json vocab = json::object(), added = json::array();
    auto& entries = vocab.get_ref<json::object_t&>();
    for (const auto& letter : byte_letters()) entries.push_back({letter, entries.size()});
    for (int i = 0; static_cast<int>(entries.size()) < first_control; ++i)
        entries.push_back({filler_word(i), entries.size()});
    for (std::size_t i = 0; i < control_tokens.size(); ++i) {
        added.push_back({{"id", first_control + static_cast<int>(i)},
                         {"content", control_tokens[i]},
                         {"single_word", false},
                         {"lstrip", false},
                         {"rstrip", false},
                         {"normalized", false},
                         {"special", true}});
    }
    const char* regex =
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    const json split = {
        {"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
    const json byte_level = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
    json out = {{"version", "1.0"},
                {"truncation", nullptr},
                {"padding", nullptr},
                {"added_tokens", added},
                {"normalizer", {{"type", "NFC"}}}};
    out["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", json::array({split, byte_level})}};
    out["post_processor"] = nullptr;
    out["decoder"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
    out["model"] = {{"type", "BPE"},
                    {"dropout", nullptr},
                    {"unk_token", nullptr},
                    {"continuing_subword_prefix", nullptr},
                    {"end_of_word_suffix", nullptr},
                    {"fuse_unk", false},
                    {"byte_fallback", false},
                    {"ignore_merges", false},
                    {"vocab", vocab},
                    {"merges", json::array()}};
    return out.dump(1) + "\n";
}

/// The image and video processors' settings, with Qwen3-VL's released area limits.
void add_preprocessors(const q::VisionDims& v, std::vector<TextFile>& files) {
    json image = {{"size", {{"shortest_edge", 65536}, {"longest_edge", 16777216}}},
                  {"patch_size", v.patch},
                  {"temporal_patch_size", v.temporal_patch},
                  {"merge_size", v.merge},
                  {"image_mean", {0.5, 0.5, 0.5}},
                  {"image_std", {0.5, 0.5, 0.5}}};
    json video = image;
    image["image_processor_type"] = "Qwen2VLImageProcessorFast";
    image["processor_class"] = video["processor_class"] = "Qwen3VLProcessor";
    video["size"] = {{"shortest_edge", 4096}, {"longest_edge", 25165824}};
    video.update(
        {{"fps", 2}, {"min_frames", 4}, {"max_frames", 768}, {"video_processor_type", "Qwen3VLVideoProcessor"}});
    files.emplace_back("preprocessor_config.json", image.dump(2) + "\n");
    files.emplace_back("video_preprocessor_config.json", video.dump(2) + "\n");
}

constexpr const char* chat_template =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}{% for p in "
    "m.content %}{% if p.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif p.type == 'video' "
    "%}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ p.text }}{% endif %}{% "
    "endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

template <q::Dims D>
std::vector<TextFile> text_files(q::DType dtype) {
    constexpr int first = first_control_token<D>();
    std::vector<TextFile> files;
    files.emplace_back("config.json", q::checkpoint::config_json<D>({.dtype = dtype, .bos = first, .eos = first + 2}));
    json generation = {{"bos_token_id", first}, {"do_sample", true},  {"eos_token_id", {first + 2, first}},
                       {"pad_token_id", first}, {"temperature", 0.7}, {"top_k", 20},
                       {"top_p", 0.8}};
    files.emplace_back("generation_config.json", generation.dump(2) + "\n");
    json tokenizer = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                      {"eos_token", "<|im_end|>"},
                      {"pad_token", "<|endoftext|>"},
                      {"model_max_length", D::text.max_positions},
                      {"clean_up_tokenization_spaces", false},
                      {"chat_template", chat_template}};
    files.emplace_back("tokenizer_config.json", tokenizer.dump(2) + "\n");
    if constexpr (q::VisionLanguageDims<D>) add_preprocessors(D::vision, files);
    return files;
}

/// Writes into a folder that it makes (or found empty), and takes everything away again unless keep() was called.
class Output {
  public:
    explicit Output(const fs::path& folder) : folder_(folder) {
        std::error_code error;
        made_ = fs::create_directories(folder, error);
        if (error) throw q::FileError(folder.string() + ": cannot make the folder: " + error.message());
        if (!fs::is_empty(folder, error) || error)
            throw q::FileError(folder.string() +
                               ": expected a new or empty folder, found files in it: remove it first or name another");
    }
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;
    ~Output() {
        std::error_code ignored;
        if (!keep_) {
            for (const auto& name : names_) fs::remove(folder_ / name, ignored);
            if (made_) fs::remove(folder_, ignored);
        }
    }
    std::string path(const std::string& name) {
        names_.push_back(name);
        return (folder_ / name).string();
    }
    void keep() { keep_ = true; }

  private:
    fs::path folder_;
    std::vector<std::string> names_;
    bool made_ = false, keep_ = false;
};

/// The tensors of one file after another, none above the limit unless by a single tensor.
std::vector<std::vector<q::checkpoint::TensorSpec>> shards(const std::vector<q::checkpoint::TensorSpec>& specs,
                                                           double limit) {
    std::vector<std::vector<q::checkpoint::TensorSpec>> out(1);
    double filled = 0;
    for (const auto& spec : specs) {
        const auto bytes = static_cast<double>(bytes_of(spec));
        if (limit > 0 && filled > 0 && filled + bytes > limit) {
            out.emplace_back();
            filled = 0;
        }
        out.back().push_back(spec);
        filled += bytes;
    }
    return out;
}

void write_weights(const std::vector<q::checkpoint::TensorSpec>& specs, const Options& options, std::uint64_t total,
                   Output& output) {
    const auto files = shards(specs, options.shard_gigabytes * 1e9);
    json index = {{"metadata", {{"total_size", total}}}, {"weight_map", json::object()}};
    auto& map = index["weight_map"].get_ref<json::object_t&>();
    const bool visible = total > 500'000'000 && isatty(STDERR_FILENO);  // progress, where it takes over a second
    std::uint64_t done = 0;
    for (std::size_t i = 0; i < files.size(); ++i) {
        char name[64] = "model.safetensors";
        if (files.size() > 1) std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, files.size());
        for (const auto& spec : files[i]) map.push_back({spec.name, name});
        q::checkpoint::write_safetensors(
            output.path(name), files[i], [&](std::size_t t, const q::checkpoint::ByteSink& sink) {
                const auto& spec = files[i][t];
                const std::int64_t n = elements_of(spec.shape);
                const std::uint64_t seed = SplitMix64{options.seed ^ hash(spec.name)}();
                const Distribution d = distribution(spec.name, spec.shape);
                if (spec.dtype == q::DType::f32)
                    produce<float>(seed, d, n, sink);
                else if (spec.dtype == q::DType::f16)
                    produce<q::f16>(seed, d, n, sink);
                else
                    produce<q::bf16>(seed, d, n, sink);
                done += bytes_of(spec);
                if (visible)
                    std::fprintf(stderr, "\r%5.2f of %.2f GB", static_cast<double>(done) / 1e9,
                                 static_cast<double>(total) / 1e9);
            });
    }
    if (visible) std::fprintf(stderr, "\n");
    if (files.size() > 1) q::write_text_file(output.path("model.safetensors.index.json"), index.dump(2) + "\n");
}

template <q::Dims D>
void make(const Options& options) {
    const q::DType dtype = options.dtype == "f32"   ? q::DType::f32
                           : options.dtype == "f16" ? q::DType::f16
                                                    : q::DType::bf16;
    const std::string tokenizer =
        options.tokenizer.empty() ? tokenizer_json(first_control_token<D>()) : q::read_file(options.tokenizer);
    std::vector<q::checkpoint::TensorSpec> specs;
    std::uint64_t total = 0;
    q::for_each_parameter<D>([&](const std::string& name, const q::Shape& shape) {
        specs.push_back({name, dtype, shape});
        total += bytes_of(specs.back());
    });
    Output output(options.folder);
    std::error_code error;
    const auto space = fs::space(options.folder, error);
    if (!error && space.available < total) {
        throw q::FileError(options.folder + ": " + D::name + " takes " + std::to_string(total) + " bytes, " +
                           std::to_string(space.available) + " are free");
    }
    write_weights(specs, options, total, output);
    for (const auto& [name, text] : text_files<D>(dtype)) q::write_text_file(output.path(name), text);
    q::write_text_file(output.path("tokenizer.json"), tokenizer);
    output.keep();
    std::printf("%s: %s, %lld parameters, seed %llu\n", options.folder.c_str(), D::name,
                static_cast<long long>(q::parameter_count<D>()), static_cast<unsigned long long>(options.seed));
}
}  // namespace

int main(int argc, char** argv) {
    std::map<std::string, std::function<void(const Options&)>> makers;
    q::for_each_type<q::models::shipped_and_golden>([&](auto tag) {
        using D = typename decltype(tag)::type;
        makers[D::name] = make<D>;
    });
    std::vector<std::string> names;
    for (const auto& [name, maker] : makers) names.push_back(name);

    Options options;
    CLI::App app("Writes a random checkpoint of a shipped model in Hugging Face layout.");
    app.add_option("config", options.config, "the model's name")->required()->check(CLI::IsMember(names));
    app.add_option("folder", options.folder, "the folder to make; it must not exist yet, or be empty")->required();
    app.add_option("--seed", options.seed, "same seed, same weights")->capture_default_str();
    app.add_option("--dtype", options.dtype, "the weights' element type")
        ->check(CLI::IsMember({"bf16", "f32", "f16"}))
        ->capture_default_str();
    app.add_option("--shard-size", options.shard_gigabytes, "start another file after so many GB (default: one file)")
        ->check(CLI::PositiveNumber);
    app.add_option("--tokenizer", options.tokenizer, "a tokenizer.json to copy (default: one that spells in bytes)")
        ->check(CLI::ExistingFile);
    CLI11_PARSE(app, argc, argv);
    return exit_code("make_synthetic", [&] {
        makers.at(options.config)(options);
        return 0;
    });
}
