#include <filesystem>
#include <fstream>
#include <thread>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;
namespace fs = std::filesystem;

namespace streamed_test {

/// Tiny with a head of three blocks of rows, the last of them short and of a number that no panel divides.
struct Wide : models::Tiny {
    static constexpr TextDims text = [] {
        TextDims d = models::Tiny::text;
        d.vocab = 2501;
        return d;
    }();
};
/// The same with a head of its own.
struct Untied : Wide {
    static constexpr TextDims text = [] {
        TextDims d = Wide::text;
        d.tied = false;
        return d;
    }();
};

template <class Text, class Embedding, class Vision>
using With =
    Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, Text>, Choice<slot::embedding_weights, Embedding>>>,
             Choice<slot::vision, VisionPolicies<Choice<slot::weights, Vision>>>>;
template <class F>
using Everywhere = With<F, F, F>;
template <class Inner, int Layers = 3>
using Streamed = weights::Streamed<Inner, Resident{.layers = Layers}>;

/// A source that can be packed.
struct Source : testing::SyntheticSource {
    using SyntheticSource::SyntheticSource;
    std::uint64_t fingerprint() const { return 7; }
};

template <class M>
M load(const std::string& packed, std::string* log = nullptr) {
    auto source = std::make_shared<Source>();
    return M(*source, source, nullptr,
             {.log = [=](std::string_view line) { log ? void(*log += std::string(line) + '\n') : void(); },
              .threads = 2,
              .packed = packed});
}

fs::path only_file(const std::string& folder) {
    REQUIRE(std::distance(fs::directory_iterator(folder), fs::directory_iterator()) == 1);
    return fs::directory_iterator(folder)->path();
}

std::string content(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

template <class D, class Inner, class... Bundles>
void check_bits() {
    const TemporaryFolder folder;
    const auto plain = load<Model<D, Everywhere<Inner>>>(folder.path());
    const auto expected = conversation(plain);
    const auto one = [&]<class Bundle>(type_tag<Bundle>) {
        using M = Model<D, Bundle>;
        std::string log;
        const auto model = load<M>(folder.path(), &log);
        constexpr int window = detail::window_layers<D, Bundle>;
        CAPTURE(Inner::name, window);
        CHECK(log.empty());
        CHECK(testing::same_bits(conversation(model), expected));
        CHECK(model.stream_counts().bytes > 0);
        CHECK(model.fingerprint() == plain.fingerprint());
    };
    (one(type_tag<Bundles>{}), ...);
    only_file(folder.path());  // which serves them all
}

TEST_CASE("the head of these Dims is read in more than one block") {
    CHECK(detail::stream_extents<Wide, Policies<>>().rows_at_once(Wide::text.hidden) == 1152);
    CHECK(Wide::text.vocab > 1152);
}

TEST_CASE("streamed weights give the same logits, whatever is streamed and however long the window") {
    using B = weights::Bf16;
    check_bits<Wide, B, Everywhere<Streamed<B, 2>>, Everywhere<Streamed<B, 100>>, With<Streamed<B>, B, B>,
               With<B, Streamed<B>, B>, With<B, B, Streamed<B>>, With<B, Streamed<B, 2>, Streamed<B, 5>>>();
}
TEST_CASE("so they do in every format, and under a head of its own") {
    check_bits<Wide, weights::Float32, Everywhere<Streamed<weights::Float32, 2>>>();
    check_bits<Wide, weights::Int4<Group{32}>, Everywhere<Streamed<weights::Int4<Group{32}>, 2>>>();
    check_bits<Untied, weights::Int8<>, Everywhere<Streamed<weights::Int8<>, 2>>,
               With<weights::Int8<>, Streamed<weights::Int8<>>, weights::Int8<>>>();
}

TEST_CASE("layers that are streamed stand beside others") {
    using B = weights::Bf16;
    using I = weights::Int8<>;
    const TemporaryFolder folder;
    const auto expected = conversation(load<Model<Wide, With<Layers<Pattern<B, I>>, B, B>>>(folder.path()));
    CHECK(testing::same_bits(
        conversation(load<Model<Wide, With<Layers<Pattern<Streamed<B, 2>, I>>, B, B>>>(folder.path())), expected));
    CHECK(testing::same_bits(
        conversation(load<Model<Wide, With<Layers<Pattern<B, Streamed<I, 2>>>, B, B>>>(folder.path())), expected));
    CHECK(testing::same_bits(
        conversation(load<Model<Wide, With<Layers<Pattern<Streamed<B, 2>, Streamed<I, 4>>>, Streamed<B>, Streamed<B>>>>(
            folder.path())),
        expected));
    only_file(folder.path());
}

TEST_CASE("sessions in several threads share the window") {
    const TemporaryFolder folder;
    const auto plain = load<Model<Wide, Everywhere<weights::Float32>>>(folder.path());
    const auto model = load<Model<Wide, Everywhere<Streamed<weights::Float32, 2>>>>(folder.path());
    std::vector<std::vector<float>> expected, found(4);
    for (std::uint64_t i = 0; i < 4; ++i) expected.push_back(conversation(plain, i));
    for (int round = 0; round < 5; ++round) {
        {
            std::vector<std::jthread> threads;
            for (std::uint64_t i = 0; i < 4; ++i)
                threads.emplace_back([&, i] { found[i] = conversation(model, i, 1 + static_cast<int>(i % 3)); });
        }
        for (std::size_t i = 0; i < 4; ++i) CHECK(testing::same_bits(found[i], expected[i]));
    }
}

TEST_CASE("a model with streamed weights may be moved") {
    const TemporaryFolder folder;
    auto model = load<Model<Wide, Everywhere<Streamed<weights::Bf16>>>>(folder.path());
    const auto expected = conversation(model);
    const auto moved = std::move(model);
    CHECK(testing::same_bits(conversation(moved), expected));
}

TEST_CASE("the packed file of streamed weights is that of what they page") {
    const TemporaryFolder one, other;
    load<Model<Untied, Everywhere<weights::Int8<>>>>(one.path());
    load<Model<Untied, Everywhere<Streamed<weights::Int8<>>>>>(other.path());
    CHECK(only_file(one.path()).filename() == only_file(other.path()).filename());
    CHECK(content(only_file(one.path())) == content(only_file(other.path())));
}

TEST_CASE("streamed weights need a folder for the packed file") {
    using M = Model<Wide, With<weights::Bf16, Streamed<weights::Bf16>, weights::Bf16>>;
    const TemporaryFolder folder;
    CHECK_THROWS_AS(load<M>(""), ConfigError);
    CHECK_THROWS_WITH(load<M>(""), Catch::Contains("LoadOptions::packed") && Catch::Contains("name a folder"));
    CHECK_THROWS_AS(testing::synthetic_model<M>(), ConfigError);  // its source cannot be packed
    CHECK_THROWS_AS(load<M>(folder.file("missing")), FileError);
    CHECK_THROWS_WITH(load<M>(folder.file("missing")), Catch::Contains("missing"));
}

TEST_CASE("a damaged packed file is made anew before it is streamed") {
    using M = Model<Wide, Everywhere<Streamed<weights::Bf16>>>;
    const TemporaryFolder folder;
    const auto expected = conversation(load<M>(folder.path()));
    const auto file = only_file(folder.path());
    const std::string whole = content(file);
    const auto check = [&](const std::string& bytes) {
        std::ofstream(file, std::ios::binary) << bytes;
        std::string log;
        CHECK(testing::same_bits(conversation(load<M>(folder.path(), &log)), expected));
        CHECK_THAT(log, Catch::Contains(file.string()) && Catch::Contains("made anew"));
        CHECK(content(file) == whole);
    };
    for (const std::size_t at :
         {std::size_t{9}, std::size_t{33}, std::size_t{5000}, whole.size() / 2, whole.size() - 70}) {
        CAPTURE(at);
        std::string bytes = whole;
        bytes[at] = static_cast<char>(bytes[at] ^ 0x40);
        check(bytes);
    }
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{10}, whole.size() / 2, whole.size() - 1, whole.size() + 1}) {
        CAPTURE(size);
        std::string bytes = whole;
        bytes.resize(size);
        check(bytes);
    }
}

TEST_CASE(
    "a packed file that is cut short while it is streamed is an error, and no harm is done when it is whole again") {
    using M = Model<Wide, Everywhere<Streamed<weights::Bf16, 2>>>;
    const TemporaryFolder folder;
    const auto model = load<M>(folder.path());
    const auto file = only_file(folder.path());
    const std::string whole = content(file);
    const auto put = [&](std::size_t bytes) {  // into the same file
        std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
        out.write(whole.data(), static_cast<std::streamsize>(bytes));
        out.close();
        fs::resize_file(file, bytes);
    };
    Prompt prompt;
    prompt << words(9);
    const auto expected = run(model, prompt);
    Session<M> session(model, {.context = 100, .threads = 2}), other(model, {.context = 100, .threads = 1});
    session.append(prompt);
    const int token = 11;
    other.append(prompt);
    other.append(token);
    const auto after = logits_of(other);
    put(whole.size() / 2);
    CHECK_THROWS_AS(session.append(token), FileError);
    CHECK_THROWS_WITH(session.append(token), Catch::Contains(file.string()) && Catch::Contains("cut short"));
    CHECK(session.length() == 9);
    CHECK_THROWS_AS(other.append(prompt), FileError);
    CHECK(other.length() == 10);
    CHECK(testing::same_bits(logits_of(other), after));
    put(whole.size());
    session.append(token);
    CHECK(testing::same_bits(logits_of(session), after));
    CHECK(testing::same_bits(run(model, prompt), expected));
    put(0);
    CHECK_THROWS_AS(session.append(token), FileError);  // not even the token's row
    put(whole.size());
}

TEST_CASE("the plan of streamed weights counts the window") {
    using B = weights::Bf16;
    using D = models::Qwen3VL_2B;
    const SessionOptions options{.context = 2048, .threads = 2};
    const auto weights_of = []<class M>(type_tag<M>) {
        std::int64_t bytes = 0;
        for (const auto& part : M::memory_plan().parts) bytes += part.name.starts_with("weights") ? part.bytes : 0;
        return bytes;
    };
    const std::int64_t layer =
        std::int64_t{2} * D::text.hidden * (2 * D::text.q_dim() + 2 * D::text.kv_dim() + 3 * D::text.ffn);
    using All = Model<D, Everywhere<Streamed<B, 3>>>;
    const std::int64_t window = weights_of(type_tag<All>{});
    CHECK(window > 3 * layer);
    CHECK(window < 3 * layer + (std::int64_t{1} << 20));
    CHECK(weights_of(type_tag<Model<D, Everywhere<Streamed<B, 5>>>>{}) - window ==
          2 * (layer + UncachedFile::alignment));
    CHECK(All::memory_plan(options).total() < std::int64_t{1} << 30);
    const std::int64_t whole = weights_of(type_tag<Model<D, Everywhere<B>>>{}),
                       text = weights_of(type_tag<Model<D, With<Streamed<B, 3>, B, B>>>{});
    CHECK(whole - text == D::text.layers * layer - window);
}

}  // namespace streamed_test
