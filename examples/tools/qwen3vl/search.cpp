// qwen3vl search: ranks the pictures of a folder by a text or a picture. Their vectors are kept in a file, so that only
// pictures that are new or changed are embedded.
#include <qwen3vl/retrieval/vector_index.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "commands.hpp"
#include "embedding_options.hpp"

namespace commands::search {
namespace q = qwen3vl;
namespace fs = std::filesystem;

struct Options {
    std::string folder, query, index;
    std::string instruction = "Retrieve images or text relevant to the user's query.";
    int best = 10;
    EmbeddingOptions embedding;
};

/// Names of the folder's pictures, sorted.
std::vector<std::string> pictures_of(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
         entry.increment(error)) {
        auto extension = entry->path().extension().string();
        std::transform(extension.begin(), extension.end(), extension.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
        const bool picture = extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".webp";
        std::error_code unknown;
        if (picture && entry->is_regular_file(unknown)) names.push_back(entry->path().filename().string());
    }
    if (error) throw q::FileError(folder + ": cannot read the folder: " + error.message());
    if (names.empty()) throw q::FileError(folder + ": expected pictures named *.jpg, *.jpeg, *.png or *.webp");
    std::sort(names.begin(), names.end(), q::image::natural_less);
    return names;
}

/// The index of a folder, brought up to date; saved where anything changed, after each few pictures.
q::VectorIndex indexed(const Options& o, AnyEmbedder& embedder) {
    const std::string path = o.index.empty() ? (fs::path(o.folder) / ".qwen3vl-index").string() : o.index;
    q::VectorIndex index(embedder.fingerprint(), embedder.dimensions());
    std::error_code error;
    if (fs::exists(path, error)) index = q::VectorIndex::load(path, embedder.fingerprint(), embedder.dimensions());
    const auto names = pictures_of(o.folder);
    bool changed = index.keep_if([&](const auto& e) {
        return std::binary_search(names.begin(), names.end(), e.name, q::image::natural_less);
    }) > 0;
    constexpr std::size_t at_once = 16;
    std::vector<q::VectorIndex::Entry> entries;
    std::vector<q::EmbedInput> inputs;
    std::size_t embedded = 0;
    const auto embed_all = [&] {
        const auto vectors = embedder.embed(inputs);
        for (std::size_t i = 0; i < vectors.size(); ++i) {
            entries[i].vector = vectors[i];
            index.put(std::move(entries[i]));
        }
        if (changed || !entries.empty()) index.save(path);
        embedded += entries.size();
        changed = false;
        entries.clear();
        inputs.clear();
    };
    for (const auto& name : names) {
        const auto file = (fs::path(o.folder) / name).string();
        const auto stamp = q::checksum(q::read_file(file));
        const auto* known = index.find(name);
        if (known && known->stamp == stamp) continue;
        entries.push_back({name, stamp, {}});
        inputs.push_back({{q::Image::open(file)}, ""});
        if (entries.size() == at_once) embed_all();
    }
    embed_all();
    if (embedded > 0)
        std::fprintf(stderr, "embedded %zu of %zu pictures; kept in %s\n", embedded, names.size(), path.c_str());
    return index;
}

int run(const Options& o) {
    ProgressBar bar;
    catch_interrupt();
    const auto embedder = o.embedding.open(bar);
    const auto index = indexed(o, *embedder);
    const auto query = embedder->embed({{{picture_or_text(o.query)}, o.instruction}}).front();
    for (const auto& match : index.search(query, static_cast<std::size_t>(o.best)))
        std::printf("%.4f %s\n", static_cast<double>(match.similarity),
                    (fs::path(o.folder) / index.entries()[match.index].name).string().c_str());
    return 0;
}

void add(CLI::App& app, int& exit_code) {
    auto options = std::make_shared<Options>();
    auto* sub = app.add_subcommand("search", "Ranks the pictures of a folder by a text or a picture");
    sub->footer(
        "Example:\n"
        "  qwen3vl search photos/ \"a red circle\" --model Qwen3-VL-Embedding-2B\n"
        "The first search embeds each picture; later ones embed those that are new or changed.");
    sub->add_option("FOLDER", options->folder, "a folder of pictures (JPEG, PNG, WebP)")
        ->required()
        ->check(CLI::ExistingDirectory);
    sub->add_option("QUERY", options->query, "what to look for: words, or a picture's file")->required();
    sub->add_option("--best", options->best, "pictures to print")->check(CLI::PositiveNumber)->capture_default_str();
    sub->add_option("--index", options->index, "the file of vectors; by default FOLDER/.qwen3vl-index");
    sub->add_option("--instruction", options->instruction, "the task of the query")->capture_default_str();
    options->embedding.add_to(*sub);
    sub->callback([options, &exit_code] { exit_code = guarded("search", [&] { return run(*options); }); });
}

}  // namespace commands::search
