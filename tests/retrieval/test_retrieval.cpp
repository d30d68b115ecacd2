#include <fstream>
#include <nlohmann/json.hpp>
#include <qwen3vl/core/models.hpp>
#include <qwen3vl/model/load.hpp>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/retrieval/embedder.hpp>
#include <qwen3vl/retrieval/reranker.hpp>
#include <qwen3vl/retrieval/vector_index.hpp>
#include <qwen3vl/testing/golden.hpp>
#include <qwen3vl/testing/models.hpp>

#include "catch.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl;
using M = Model<models::Tiny, bundles::float32>;

namespace retrieval_test {

const M& model() {
    static const M m = M::load(test_data("/tiny"));
    return m;
}
const nlohmann::json& golden() {
    static const auto json = nlohmann::json::parse(std::ifstream(test_data("/retrieval/cases.json")));
    return json;
}
/// The content of a recorded case. Texts come first here, so that the order of reading is tested too.
std::vector<Input> content_of(const nlohmann::json& entry) {
    std::vector<Input> content;
    for (const auto& text : entry.value("texts", nlohmann::json::array()))
        content.emplace_back(text.get<std::string>());
    for (const auto& file : entry.value("pictures", nlohmann::json::array()))
        content.emplace_back(Image::open(test_data("/") + file.get<std::string>()));
    for (const auto& name : entry.value("clips", nlohmann::json::array())) {
        const auto& clip = golden()["clips"][name.get<std::string>()];
        std::vector<std::string> frames;
        for (const auto& file : clip["frames"]) frames.push_back(test_data("/") + file.get<std::string>());
        content.emplace_back(Video::from_files(std::move(frames), clip["fps"].get<double>()));
    }
    return content;
}
/// The largest difference over the largest magnitude, as for the other golden cases.
double relative(const std::vector<float>& ours, const std::vector<float>& theirs) {
    REQUIRE(ours.size() == theirs.size());
    double most = 0, magnitude = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
        most = std::max(most, std::abs(static_cast<double>(ours[i]) - static_cast<double>(theirs[i])));
        magnitude = std::max(magnitude, std::abs(static_cast<double>(theirs[i])));
    }
    return most / magnitude;
}

TEST_CASE("embeddings are those of the reference") {
    for (const auto& c : golden()["embeddings"]) {
        CAPTURE(c["name"]);
        Embedder embedder(model(),
                          {.tokens = c.value("longest", 2048),
                           .truncation = c.value("cut_end", false) ? Truncation::cut_end : Truncation::keep_special});
        const EmbedInput input{content_of(c), c.value("instruction", "")};
        CHECK(embedder.prompt(input).tokens == c["ids"].get<std::vector<int>>());
        CHECK(relative(embedder.embed(input), c["embedding"].get<std::vector<float>>()) <= testing::golden_tolerance);
    }
}

TEST_CASE("an embedding does not depend on those beside it, on rows or on caches; a cut one is a prefix of it") {
    std::vector<EmbedInput> inputs;
    std::vector<std::vector<float>> alone;
    Embedder one(model(), {.tokens = 2048});
    for (const auto& c : golden()["embeddings"])
        if (c["ids"].size() < 100 && !c.contains("longest")) {
            inputs.push_back({content_of(c), c.value("instruction", "")});
            alone.push_back(one.embed(inputs.back()));
        }
    REQUIRE(inputs.size() > 5);
    for (const auto& batch : {BatchOptions{.rows = 50, .tokens = 160}, BatchOptions{.rows = 512, .tokens = 2048}}) {
        const auto cache = std::make_shared<FeatureCache>(1 << 20);
        Embedder several(model(), {.tokens = 2048, .batch = batch, .feature_cache = cache});
        CHECK(several.embed(inputs) == alone);
        CHECK(several.embed(inputs) == alone);
        CHECK(cache->hits() > 0);
    }
    Embedder cut(model(), {.dimensions = 40, .tokens = 2048});
    auto first = alone.front();
    first.resize(40);
    detail::scale_to_unit(first);
    CHECK(cut.dimensions() == 40);
    CHECK(relative(cut.embed(inputs.front()), first) < 1e-6);  // two roundings of the length
    CHECK(one.embed(std::span<const EmbedInput>{}).empty());
}

TEST_CASE("scores are those of the reference") {
    for (const auto& c : golden()["scores"]) {
        CAPTURE(c["name"]);
        Reranker reranker(
            model(),
            {.tokens = c.value("longest", 2048), .yes = c["yes"].get<std::string>(), .no = c["no"].get<std::string>()});
        std::vector<std::vector<Input>> documents;
        for (const auto& d : c["documents"]) documents.push_back(content_of(d));
        const auto scores = reranker.score(content_of(c["query"]), documents, c.value("instruction", ""));
        CHECK(relative(scores, c["scores"].get<std::vector<float>>()) <= testing::golden_tolerance);
        CHECK(reranker.score(content_of(c["query"]), {documents.back()}, c.value("instruction", "")).front() ==
              scores.back());
    }
}

TEST_CASE("instructions end in punctuation") {
    CHECK(detail::as_sentence("Find it") == "Find it.");
    CHECK(detail::as_sentence("\t Find it! \n") == "Find it!");
    CHECK(detail::as_sentence("x\u3002\u3000") == "x\u3002");
    CHECK(detail::as_sentence("a+") == "a+.");
    CHECK(detail::as_sentence(" \u2003 ").empty());
    CHECK(detail::as_sentence("\xff") == "\xff.");
}

TEST_CASE("frames are chosen in pairs, evenly") {
    using V = std::vector<int>;
    CHECK(detail::chosen_frames(6, 1, {}) == V{0, 1, 2, 3, 4, 5});
    CHECK(detail::chosen_frames(7, 1, {}) == V{0, 1, 2, 4, 5, 6});
    CHECK(detail::chosen_frames(60, 30, {}) == V{0, 20, 39, 59});
    CHECK(detail::chosen_frames(10000, 10, {}).size() == 64);
    CHECK(detail::chosen_frames(3, 10, {}) == V{0, 2});
    CHECK_THROWS_AS(detail::chosen_frames(1, 1, {}), ImageError);
}

TEST_CASE("what cannot be is refused by name") {
    CHECK_THROWS_AS(Embedder(model(), {.dimensions = 97}), ConfigError);
    CHECK_THROWS_AS(Embedder(model(), {.tokens = 0}), ConfigError);
    CHECK_THROWS_AS(Reranker(model(), {.tokens = 0}), ConfigError);
    CHECK_THROWS_AS(Reranker(model(), {.tokens = 64}), TokenizerError);  // the small vocabulary has no "yes"
    Embedder embedder(model(), {.tokens = 40});
    const auto picture = Image::open(test_data("/images/photo.jpg"));
    CHECK_THROWS_AS(embedder.embed({{picture}, ""}), ContextOverflow);
    CHECK_THROWS_AS(embedder.embed({{ImageInfo{64, 64}}, ""}), PromptError);
    Embedder stopped(model(), {.tokens = 256, .progress = [](const Progress&) { return false; }});
    CHECK_THROWS_AS(stopped.embed({{"a"}, ""}), Cancelled);
}

TEST_CASE("an index of vectors, its file, and files that are none") {
    VectorIndex index(7, 2);
    index.put({"a", 1, {1, 0}});
    index.put({"b", 2, {0, 1}});
    index.put({"", 3, {0.6f, 0.8f}});
    index.put({"a", 4, {0.8f, 0.6f}});  // in place of the first
    CHECK_THROWS_AS(index.put({"c", 1, {1}}), ConfigError);
    const float query[] = {0, 1};
    const auto best = index.search(query, 2);
    REQUIRE(best.size() == 2);
    CHECK(index.entries()[best[0].index].name == "b");
    CHECK(best[0].similarity == 1);
    CHECK(index.entries()[best[1].index].name.empty());
    CHECK_THROWS_AS(index.search(std::span(query, 1), 1), ConfigError);

    const TemporaryFolder folder;
    const std::string path = folder.file("index");
    index.save(path);
    const auto loaded = VectorIndex::load(path, 7, 2);
    REQUIRE(loaded.entries().size() == 3);
    CHECK(loaded.find("a")->stamp == 4);
    CHECK(loaded.find("a")->vector == std::vector<float>{0.8f, 0.6f});
    CHECK_THROWS_AS(VectorIndex::load(path, 8, 2), LoadError);
    CHECK_THROWS_AS(VectorIndex::load(path, 7, 3), LoadError);
    CHECK_THROWS_AS(VectorIndex::load(folder.file("none"), 7, 2), FileError);
    const std::string whole = read_file(path);
    const auto written = [&](std::string content, bool sums) {
        if (sums && content.size() > 56) {  // size and checksum made right, as one who wants harm would
            const std::uint64_t size = content.size();
            std::memcpy(content.data() + 40, &size, sizeof size);
            const std::uint64_t sum = checksum(std::string_view(content).substr(0, size - 8));
            std::memcpy(content.data() + size - 8, &sum, sizeof sum);
        }
        std::ofstream(path, std::ios::binary) << content;
        return path;
    };
    for (std::size_t n = 0; n < whole.size(); ++n) {
        CHECK_THROWS_AS(VectorIndex::load(written(whole.substr(0, n), false), 7, 2), LoadError);
        CHECK_THROWS_AS(VectorIndex::load(written(whole.substr(0, n), true), 7, 2), LoadError);
        auto changed = whole;
        changed[n] = static_cast<char>(changed[n] ^ 0x55);
        CHECK_THROWS_AS(VectorIndex::load(written(changed, false), 7, 2), LoadError);
        try {  // a wrong name or number is found by the checksum alone; nothing else may happen
            VectorIndex::load(written(changed, true), 7, 2);
        } catch (const LoadError&) {
        }
    }
}

}  // namespace retrieval_test
