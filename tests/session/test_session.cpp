#include "prompts.hpp"

using namespace qwen3vl_test;

namespace session_test {
using D = models::Tiny;
using M = Model<D, bundles::float32>;

const M& tiny() {
    static const M model = testing::synthetic_model<M>();
    return model;
}

TEST_CASE("a prompt's results do not depend on its chunks, threads or earlier life of the session") {
    Session<M> session(tiny(), {.context = 300, .threads = 2});
    auto prompt = picture_prompt<D>(session, {{1, 4, 6}, {2, 4, 4}, {1, 12, 12}}, 30);
    prompt << words(80);
    const auto n = static_cast<std::int64_t>(prompt.tokens.size());
    const auto run = [&](int chunk, int threads) {
        Session<M> s(tiny(), {.context = static_cast<int>(n), .chunk = chunk, .threads = threads});
        std::vector<float> hidden;
        s.append(prompt, {.progress = {}, .hook = {}, .hidden = &hidden});
        REQUIRE(static_cast<std::int64_t>(hidden.size()) == n * D::text.hidden);
        const auto l = logits_of(s);
        hidden.insert(hidden.end(), l.begin(), l.end());
        return hidden;
    };
    const auto whole = run(1000, 1);
    CHECK(std::isfinite(testing::largest_magnitude(whole)));
    for (int chunk : {1, 2, 7, 31, 64, 65}) CHECK(testing::same_bits(run(chunk, 1), whole));
    CHECK(testing::same_bits(run(1000, 3), whole));
    CHECK(testing::same_bits(run(9, 2), whole));
    session.append({words(50, 4), {}});
    session.reset();
    session.append(prompt);
    CHECK(testing::same_bits(logits_of(session),
                             {whole.data() + n * D::text.hidden, static_cast<std::size_t>(D::text.vocab)}));
}

TEST_CASE("a prompt may come in parts, token by token, after pictures") {
    Session<M> session(tiny(), {.context = 200, .threads = 1});
    auto first = picture_prompt<D>(session, {{1, 6, 8}});
    auto second = picture_prompt<D>(session, {{1, 4, 4}});
    Prompt whole = first;
    const auto tail = words(6, 9);
    whole << second.tokens << tail;
    whole.visuals.push_back(second.visuals[0]);
    session.append(first);
    CHECK(session.length() == static_cast<std::int64_t>(first.tokens.size()));
    CHECK(session.rope_delta() == 4 - 12);  // a picture of 3 x 4 tokens advances four positions
    session.append(second);
    CHECK(session.rope_delta() == 4 - 12 + 2 - 4);
    for (const int token : tail) session.append(token);
    CHECK(session.rope_delta() == 4 - 12 + 2 - 4);
    CHECK(testing::same_bits(logits_of(session), run(tiny(), whole)));
}

TEST_CASE("pictures and their order matter") {
    Session<M> session(tiny(), {.context = 100, .threads = 1});
    auto prompt = picture_prompt<D>(session, {{1, 4, 4}, {1, 4, 4}});
    const auto before = run(tiny(), prompt);
    std::swap(prompt.visuals[0], prompt.visuals[1]);
    CHECK_FALSE(testing::same_bits(run(tiny(), prompt), before));
}

TEST_CASE("rewind goes back to any token outside of pictures") {
    Session<M> session(tiny(), {.context = 100, .chunk = 7, .threads = 1});
    const auto prompt = picture_prompt<D>(session, {{1, 4, 4}});  // 5 text, start, 4 pads, end, 3 text
    session.append(prompt);
    const auto expected = logits_of(session);
    for (std::int64_t to : {13, 11, 10, 6, 5, 0}) {
        CAPTURE(to);
        session.rewind(to);
        CHECK(session.length() == to);
        CHECK(session.rope_delta() == (to >= 10 ? -2 : 0));
        CHECK_THROWS_AS(session.logits(), PromptError);
        Prompt rest{{prompt.tokens.begin() + to, prompt.tokens.end()}, {}};
        if (to <= 6) rest.visuals = prompt.visuals;
        session.append(rest);
        CHECK(testing::same_bits(logits_of(session), expected));
    }
    for (std::int64_t to : {-1, 7, 8, 9, 15}) {
        CHECK_THROWS_AS(session.rewind(to), PromptError);
        CHECK(session.length() == 14);
    }
    CHECK(testing::same_bits(logits_of(session), expected));
}

TEST_CASE("a full context says how many tokens fit, and nothing is appended") {
    Session<M> session(tiny(), {.context = 20, .threads = 1});
    CHECK_THROWS_AS(session.append({words(21), {}}), ContextOverflow);
    CHECK(session.length() == 0);
    session.append({words(15), {}});
    const auto before = logits_of(session);
    CHECK_THROWS_WITH(session.append({words(6), {}}),
                      Catch::Contains("15 of 20") && Catch::Contains("5 fit") && Catch::Contains("has 6"));
    CHECK(session.length() == 15);
    CHECK(testing::same_bits(logits_of(session), before));
    session.append({words(5), {}});
    CHECK_THROWS_WITH(session.append(3), Catch::Contains("0 fit"));
    CHECK(session.length() == 20);
}

TEST_CASE("a context that the model does not have is refused") {
    for (int context : {0, -5, D::text.max_positions + 1})
        CHECK_THROWS_WITH(Session<M>(tiny(), {.context = context, .threads = 1}),
                          Catch::Contains("1 to 4096") && Catch::Contains(std::to_string(context)));
}

TEST_CASE("malformed prompts are refused and change nothing") {
    Session<M> session(tiny(), {.context = 100, .threads = 1});
    CHECK_THROWS_AS(session.logits(), PromptError);
    CHECK_THROWS_WITH(session.append(Prompt{}), Catch::Contains("empty"));
    for (int token : {-1, D::text.vocab, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
        CHECK_THROWS_WITH(session.append(token), Catch::Contains("0 to 463") && Catch::Contains(std::to_string(token)));
        CHECK_THROWS_AS(session.append(Prompt{{1, token}, {}}), PromptError);
    }
    const auto good = picture_prompt<D>(session, {{1, 4, 4}});
    auto few = good, many = good, none = good, extra = good, null = good, foreign = good, levels = good;
    few.tokens.erase(few.tokens.begin() + 7);
    many.tokens.insert(many.tokens.begin() + 7, D::tokens.image);
    none.visuals.clear();
    extra.visuals.push_back(good.visuals[0]);
    null.visuals[0] = nullptr;
    auto other = *good.visuals[0];
    other.width = 64;
    foreign.visuals[0] = std::make_shared<VisualFeatures>(other);
    other = *good.visuals[0];
    other.deepstack.pop_back();
    levels.visuals[0] = std::make_shared<VisualFeatures>(other);
    for (const auto* bad : {&few, &many, &none, &extra, &null, &foreign, &levels}) {
        CHECK_THROWS_AS(session.append(*bad), PromptError);
        CHECK(session.length() == 0);
    }
    session.append(good);
    CHECK(testing::same_bits(logits_of(session), run(tiny(), good)));
}

TEST_CASE("prefill reports its tokens, and cancelling leaves the session as it was") {
    Session<M> session(tiny(), {.context = 200, .chunk = 8, .threads = 2});
    const auto start = picture_prompt<D>(session, {{1, 4, 4}});
    const Prompt more{words(40, 3), {}};
    session.append(start);
    const auto before = session.length();
    const auto logits = logits_of(session);
    std::vector<std::int64_t> seen;
    CHECK_THROWS_AS(session.append(more, {.progress =
                                              [&](const Progress& p) {
                                                  CHECK(p.stage == "prefill");
                                                  CHECK(p.total == 40);
                                                  seen.push_back(p.done);
                                                  return p.done < 24;
                                              }}),
                    Cancelled);
    CHECK(seen == std::vector<std::int64_t>{0, 8, 16, 24});
    CHECK(session.length() == before);
    CHECK(session.rope_delta() == -2);
    CHECK(testing::same_bits(logits_of(session), logits));
    seen.clear();
    session.append(more, {.progress = [&](const Progress& p) {
                       seen.push_back(p.done);
                       return true;
                   }});
    CHECK(seen == std::vector<std::int64_t>{0, 8, 16, 24, 32, 40});
    Prompt whole = start;
    whole << more.tokens;
    CHECK(testing::same_bits(logits_of(session), run(tiny(), whole)));
}

TEST_CASE("a callback's own exception passes and leaves the session usable") {
    Session<M> session(tiny(), {.context = 50, .chunk = 4, .threads = 2});
    const Prompt prompt{words(12), {}};
    CHECK_THROWS_AS(session.append(prompt, {.progress = [](const Progress& p) -> bool {
                                       return p.done < 8 ? true : throw std::logic_error("mine");
                                   }}),
                    std::logic_error);
    CHECK(session.length() == 0);
    session.append(prompt);
    CHECK(testing::same_bits(logits_of(session), run(tiny(), prompt)));
}

TEST_CASE("a hook sees every layer of every chunk, and the logits of every token") {
    Session<M> session(tiny(), {.context = 50, .chunk = 5, .threads = 1});
    const Prompt prompt{words(12), {}};
    std::vector<float> hidden, norm, logits;
    std::int64_t rows = 0;
    session.append(prompt, {.progress = {},
                            .hook =
                                [&](std::string_view name, int, ConstMatrix x) {
                                    if (name == "text.layer") rows += x.rows;
                                    auto* keep = name == "text.norm" ? &norm : name == "logits" ? &logits : nullptr;
                                    if (keep) keep->insert(keep->end(), x.data, x.data + x.rows * x.cols);
                                },
                            .hidden = &hidden});
    CHECK(rows == 12 * D::text.layers);
    CHECK(testing::same_bits(norm, hidden));
    REQUIRE(logits.size() == 12u * D::text.vocab);
    for (std::size_t t = 0; t < 12; ++t) {
        const Prompt prefix{{prompt.tokens.begin(), prompt.tokens.begin() + static_cast<std::ptrdiff_t>(t) + 1}, {}};
        CHECK(testing::same_bits(run(tiny(), prefix),
                                 {logits.data() + t * D::text.vocab, static_cast<std::size_t>(D::text.vocab)}));
    }
}

TEST_CASE("loading reports each parameter and can be cancelled") {
    testing::SyntheticSource source;
    std::int64_t last = -1, total = 0;
    const M model(source, nullptr, nullptr, {.progress = [&](const Progress& p) {
                      CHECK(p.stage == "load");
                      CHECK(p.done == last + 1);
                      last = p.done;
                      total = p.total;
                      return true;
                  }});
    CHECK(last == total);
    CHECK(total == static_cast<std::int64_t>(source.names().size()));
    CHECK_THROWS_AS(M(source, nullptr, nullptr, {.progress = [](const Progress& p) { return p.done < 10; }}),
                    Cancelled);
}

}  // namespace session_test
