#include <qwen3vl/fusion/fusion.hpp>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace dynamic_test {

using D = models::Tiny;
template <class Fusion>
using With = Model<D, Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, weights::Float32>>>,
                               Choice<slot::fusion, Fusion>>>;
using fusion::Complexity, fusion::ComplexityScore;
using Crossing = fusion::CrossAttention<fusion::pictures::Inside<>, fusion::CrossLayers{.every = 2, .first = 1}>;
template <Complexity C, class Light = fusion::DeepStack, class Full = Crossing>
using Choosing = fusion::Dynamic<Light, Full, C>;
/// Between the scores of the two pictures of prompt_of().
constexpr Complexity between{.score = ComplexityScore::edges, .threshold = 0.5f};

/// Random weights with gates of one value; Light's, behind `light.`, are others than Full's.
class Source : public testing::SyntheticSource {
  public:
    TensorView take(const std::string& name, const Shape& shape) {
        TensorView view = testing::SyntheticSource::take(name, shape);
        if (name.ends_with("gate")) view.data = reinterpret_cast<const std::byte*>(&gate_);
        return view;
    }

  private:
    float gate_ = 0.7f;
};
template <class Fusion>
const With<Fusion>& model() {
    static const With<Fusion> m = [] {
        auto source = std::make_shared<Source>();
        return With<Fusion>(*source, source, nullptr, LoadOptions{.threads = 1});
    }();
    return m;
}
/// A picture of 6 visual tokens with one that differs from the others, and a random one of 8.
template <class M>
Prompt prompt_of(Session<M>& session) {
    Prompt p = picture_prompt<D>(session, {{1, 4, 6}, {1, 8, 4}});
    auto plain = std::make_shared<VisualFeatures>(*p.visuals[0]);
    for (std::int64_t t = 1; t < plain->tokens(); ++t)
        std::copy_n(plain->embedding.data() + (t < 5 ? 0 : t * plain->width), plain->width,
                    plain->embedding.data() + t * plain->width);
    p.visuals[0] = plain;
    return p;
}
template <class Fusion>
std::vector<float> run(int chunk = 100) {
    Session<With<Fusion>> session(model<Fusion>(), {.context = 200, .chunk = chunk, .threads = 2});
    session.append(prompt_of(session));
    session.append(7);
    return logits_of(session);
}

TEST_CASE("scores are what they are said to be") {
    VisualFeatures f{
        .grid = {1, 4, 6}, .merge = 2, .width = 3, .embedding = std::vector<float>(18, 1.0f), .deepstack = {}};
    for (const auto score : {ComplexityScore::spread, ComplexityScore::edges})
        CHECK(fusion::complexity_of(score, f, 0, 6) == 0);
    testing::Rng rng(3);
    for (float& x : f.embedding) x = rng.signed_unit();
    // 2 x 3 tokens: four edges by row, three by column
    double mean = 0, squares = 0, sum = 0, entropy = 0;
    for (std::size_t c = 0; c < 3; ++c) {
        double m = 0;
        for (std::size_t t = 0; t < 6; ++t) {
            const auto x = static_cast<double>(f.embedding[t * 3 + c]);
            m += x / 6;
            squares += x * x / 6;
        }
        mean += m * m;
    }
    std::vector<double> edges;
    for (const auto& [a, b] :
         std::vector<std::pair<std::size_t, std::size_t>>{{0, 1}, {1, 2}, {3, 4}, {4, 5}, {0, 3}, {1, 4}, {2, 5}}) {
        double d = 0;
        for (std::size_t c = 0; c < 3; ++c) {
            const double x = static_cast<double>(f.embedding[a * 3 + c]) - static_cast<double>(f.embedding[b * 3 + c]);
            d += x * x;
        }
        edges.push_back(std::sqrt(d));
        sum += edges.back();
    }
    for (const double d : edges) entropy -= d / sum * std::log(d / sum);
    CHECK(std::abs(static_cast<double>(fusion::complexity_of(ComplexityScore::spread, f, 0, 6)) -
                   (1 - mean / squares)) < 1e-6);
    CHECK(std::abs(static_cast<double>(fusion::complexity_of(ComplexityScore::edges, f, 0, 6)) -
                   entropy / std::log(7.0)) < 1e-6);
}

TEST_CASE("a threshold that all or no pictures are above has the bits of one policy alone") {
    CHECK(testing::same_bits(run<Choosing<Complexity{.threshold = 2}>>(), run<fusion::DeepStack>()));
    CHECK(testing::same_bits(run<Choosing<Complexity{.threshold = -1}>>(), run<Crossing>()));
}

/// Keeps which pictures it was shown, by their first row of embeddings.
template <int Number>
struct Watched : fusion::DeepStack {
    static inline std::vector<float> embedded, added;
    static constexpr const char* name = "Watched";
    template <class Weights, class Pass>
    static void embed(const Pass& pass) {
        pass.for_each_picture([&](const VisualFeatures& f, std::int64_t first, Matrix x) {
            for (std::int64_t r = 0; r < x.rows; ++r) embedded.push_back(f.embedding_row(first + r)[0]);
        });
        DeepStack::embed<Weights>(pass);
    }
    template <class Weights, class Pass>
    static void after_layer(const Pass& pass, int layer) {
        if (layer == 0)
            pass.for_each_picture([&](const VisualFeatures& f, std::int64_t first, Matrix x) {
                for (std::int64_t r = 0; r < x.rows; ++r) added.push_back(f.embedding_row(first + r)[0]);
            });
        DeepStack::after_layer<Weights>(pass, layer);
    }
};

TEST_CASE("each policy is shown the pictures that are its own, in every chunk") {
    using Fusion = Choosing<between, Watched<0>, Watched<1>>;
    Session<With<Fusion>> session(model<Fusion>(), {.context = 200, .chunk = 5, .threads = 1});
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    const auto first_of = [&](std::size_t i) {
        std::vector<float> rows;
        for (std::int64_t t = 0; t < prompt.visuals[i]->tokens(); ++t)
            rows.push_back(prompt.visuals[i]->embedding_row(t)[0]);
        return rows;
    };
    CHECK(Watched<0>::embedded == first_of(0));
    CHECK(Watched<0>::added == first_of(0));
    CHECK(Watched<1>::embedded == first_of(1));
    CHECK(Watched<1>::added == first_of(1));
    CHECK(session.sequence().fuller_pictures() == 1);
    Session<With<fusion::DeepStack>> stock(model<fusion::DeepStack>(), {.context = 200, .chunk = 5, .threads = 1});
    stock.append(prompt);
    CHECK(testing::same_bits(logits_of(session), logits_of(stock)));
}

TEST_CASE("Dynamic goes with the other policies") {
    using Text = TextPolicies<Choice<slot::weights, weights::Float32>>;
    STATIC_REQUIRE(
        detail::check<D, Policies<Choice<slot::text, Text>, Choice<slot::fusion, fusion::Gated<Choosing<between>>>>>());
    STATIC_REQUIRE(detail::check<D, Policies<Choice<slot::text, Text>,
                                             Choice<slot::fusion, Choosing<between, fusion::Bilinear<Rank{8}>>>>>());
    CHECK(With<fusion::Gated<Choosing<between>>>::manifest().parameters.size() >
          With<Choosing<between>>::manifest().parameters.size());
}

TEST_CASE("chosen policies have the same bits for any chunk, rewound, saved and restored") {
    using TestType = Choosing<between>;
    using M = With<TestType>;
    const auto expected = run<TestType>();
    CHECK_FALSE(testing::same_bits(expected, run<fusion::DeepStack>()));
    CHECK_FALSE(testing::same_bits(expected, run<Crossing>()));
    for (const int chunk : {1, 6}) CHECK(testing::same_bits(run<TestType>(chunk), expected));

    Session<M> session(model<TestType>(), {.context = 200, .threads = 1}),
        other(model<TestType>(), {.context = 150, .threads = 2});
    const Prompt prompt = prompt_of(session);
    session.append(prompt);
    const TemporaryFolder folder;
    session.save(folder.file("state"));
    const auto length = session.length();
    session.append(prompt);
    session.rewind(length);
    session.append(7);
    CHECK(testing::same_bits(logits_of(session), expected));
    other.append(Prompt{words(3)});
    other.restore(folder.file("state"));
    CHECK(other.sequence().fuller_pictures() == 1);
    other.append(7);
    CHECK(testing::same_bits(logits_of(other), expected));
}

}  // namespace dynamic_test
