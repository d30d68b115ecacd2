#include <thread>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace paged_cache_test {

using D = models::Tiny;
template <class Cache, class Attention = attention::Flash<>>
using With = Model<
    D, Policies<Choice<slot::text, TextPolicies<Choice<slot::attention, Attention>, Choice<slot::kv_cache, Cache>>>>>;
using M = With<kv_cache::Paged<>>;
using Inner = With<kv_cache::Contiguous<>>;

const M& model() {
    static const M m = testing::synthetic_model<M>();
    return m;
}
const SessionOptions options{.context = 600, .chunk = 100, .threads = 2};

std::shared_ptr<const VisualFeatures> picture(Session<M>& session, Grid grid, std::uint64_t seed) {
    return encode(session.workspace(), testing::synthetic_patches(D::vision, grid, seed));
}
/// Rules, a picture, a question.
Prompt talk(const std::shared_ptr<const VisualFeatures>& shown, std::size_t rules, std::uint64_t question) {
    Prompt p;
    p << words(rules, 2);
    add_visual<D>(p, shown);
    return p << words(40, question);
}
/// What a session with a cache of its own computes.
std::vector<float> expected(const Prompt& prompt) {
    static const Inner inner = testing::synthetic_model<Inner>();
    return run(inner, prompt);
}

template <class S>
std::vector<float> go_on(S& session, std::size_t tokens = 70) {
    for (const int token : words(tokens, 77)) session.append(token);
    return logits_of(session);
}

/// No session is left: every page can be had.
template <class Pool>
void check_all_given_back(Pool& pool) {
    const auto s = pool.statistics();
    CHECK(s.in_use == 0);
    CHECK(s.shared == 0);
    CHECK(s.free + s.cached == s.pages);
}

using Near = attention::Flash<mask::SlidingWindow<Window{.tokens = 40, .sinks = 3}>>;
using Chosen = attention::Flash<mask::DynamicSparse<BlockBudget{.keep = 1, .local = 1}>>;
template <template <class> class Cache>
using Grouped = kv_cache::CrossLayer<Cache<kv_cache::Bf16>, LayerGroups{.size = 2, .first = 1}>;
template <template <class> class Cache>
using ByLayer = Layers<Pattern<Cache<kv_cache::Int8>, Cache<kv_cache::Float32>>>;
/// The same policies over pages and over caches of the sessions' own.
template <template <template <class> class> class Cache, class Attention = attention::Flash<>>
struct Pair {
    using in_pages = With<Cache<kv_cache::Paged>, Attention>;
    using alone = With<Cache<kv_cache::Contiguous>, Attention>;
};
template <template <class> class Cache>
using Int4 = Cache<kv_cache::Int4>;
template <template <class> class Cache>
using Plain = Cache<kv_cache::Bf16>;

TEMPLATE_TEST_CASE("pages give the bits of a contiguous cache, computed and taken over", "", (Pair<Plain>),
                   (Pair<Int4, Chosen>), (Pair<Grouped>),
                   (Pair<ByLayer, Layers<Pattern<Near, attention::Flash<>, Chosen>>>)) {
    using Paged = typename TestType::in_pages;
    using Alone = typename TestType::alone;
    const Paged paged = testing::synthetic_model<Paged>();
    const Alone alone = testing::synthetic_model<Alone>();
    std::int64_t reused = 0;
    const auto conversation = [&](auto& session) {
        session.append(picture_prompt<D>(session, {{1, 6, 8}, {1, 4, 4}}, 150));
        reused += session.reused_tokens();
        auto logits = logits_of(session);
        const auto add = [&](const std::vector<float>& more) { logits.insert(logits.end(), more.begin(), more.end()); };
        add(go_on(session));
        session.rewind(210);
        session.append({words(80, 8), {}});
        add(logits_of(session));
        reused += session.reused_tokens();
        session.rewind(100);
        session.append({words(150, 9), {}});
        reused += session.reused_tokens();
        add(logits_of(session));
        return logits;
    };
    Session<Alone> by_itself(alone, {.context = 600, .threads = 1});
    const auto bits = conversation(by_itself);
    CHECK(reused == 0);
    for (const int chunk : {1, 7, 64, 512}) {
        PagePool pool(paged, {.tokens = 1200});
        CAPTURE(chunk);
        for (const bool again : {false, true}) {
            Session<Paged> session(pool, {.context = 600, .chunk = chunk, .threads = again ? 2 : 1});
            reused = 0;
            CHECK(testing::same_bits(conversation(session), bits));
            CHECK(reused == (again ? 128 + (256 - 210) + (192 - 100) : 0));
        }
        check_all_given_back(pool);
    }
}

TEST_CASE("pictures of the same content are shared, others are not") {
    PagePool pool(model());
    Session first(pool, options), second(pool, options);
    const auto shown = picture(first, {1, 8, 12}, 3);
    first.append(talk(shown, 110, 5));                         // tokens 111 to 134 are the picture
    auto same = talk(picture(second, {1, 8, 12}, 3), 110, 5);  // encoded again
    same.tokens.back() = 6;
    second.append(same);
    CHECK(second.reused_tokens() == 128);
    CHECK(testing::same_bits(logits_of(second), expected(same)));
    CHECK(second.rope_delta() == first.rope_delta());
    for (const auto& other :
         {talk(picture(second, {1, 8, 12}, 4), 110, 5), talk(picture(second, {1, 12, 8}, 3), 110, 5)}) {
        second.reset();
        second.append(other);
        CHECK(second.reused_tokens() == 64);  // the rules alone
        CHECK(testing::same_bits(logits_of(second), expected(other)));
    }
    auto in_part = *shown;
    in_part.deepstack.back().back() += 1;  // what enters a later layer alone
    second.reset();
    second.append(talk(std::make_shared<VisualFeatures>(in_part), 110, 5));
    CHECK(second.reused_tokens() == 64);
    Prompt without;  // pads that stand for nothing
    without << words(110, 2);
    second.reset();
    second.append(without);
    second.append(D::tokens.vision_start);
    for (int i = 0; i < 40; ++i) second.append(D::tokens.image);
    const auto before = second.length();
    second.append({words(10), {}});
    CHECK(second.reused_tokens() == 0);
    CHECK(second.length() == before + 10);
}

TEST_CASE("an answer is found where a prompt repeats it, and results of every token are computed") {
    PagePool pool(model());
    Session first(pool, options), second(pool, options);
    Prompt said{words(50), {}};
    first.append(said);
    go_on(first, 100);
    said << words(100, 77);
    second.append(said);
    CHECK(second.reused_tokens() == 128);
    CHECK(testing::same_bits(logits_of(second), expected(said)));
    CHECK(testing::same_bits(logits_of(first), expected(said)));
    std::vector<float> hidden;
    second.reset();
    second.append(said, {.progress = {}, .hook = {}, .hidden = &hidden});
    CHECK(second.reused_tokens() == 0);
    CHECK(testing::largest_magnitude(hidden) > 0);
    int seen = 0;
    second.reset();
    second.append(said, {.progress = {},
                         .hook = [&](std::string_view name, int, ConstMatrix) { seen += name == "logits"; },
                         .hidden = nullptr});
    CHECK(seen == 150);
    CHECK(pool.statistics().in_use == 2 + 2);  // full pages that are the same became one
}

TEST_CASE("a fork shares all pages until one of both goes on") {
    PagePool pool(model());
    {
        Session first(pool, options);
        const auto prompt = talk(picture(first, {1, 8, 8}, 3), 100, 5);
        first.append(prompt);
        const auto pages = pool.statistics().in_use;
        auto second = first.fork();
        CHECK(pool.statistics().in_use == pages);
        CHECK(pool.statistics().shared == pages);
        CHECK(second.length() == first.length());
        CHECK(testing::same_bits(logits_of(second), logits_of(first)));
        const auto after = [&](std::uint64_t seed) {
            auto p = prompt;
            return expected(p << words(30, seed));
        };
        for (const int token : words(30, 11)) first.append(token);
        CHECK(pool.statistics().in_use == pages + 1);
        second.append({words(30, 12), {}});
        CHECK(testing::same_bits(logits_of(first), after(11)));
        CHECK(testing::same_bits(logits_of(second), after(12)));
        const auto third = second.fork();
        second.rewind(70);
        second.append({words(9), {}});  // into a page that all three have
        first.rewind(static_cast<std::int64_t>(prompt.tokens.size()));
        first.append({words(30, 12), {}});
        CHECK(testing::same_bits(logits_of(first), logits_of(third)));
    }
    check_all_given_back(pool);
    Session<M> empty(pool, options);
    auto other = empty.fork();
    CHECK(other.length() == 0);
    CHECK_THROWS_AS(other.logits(), PromptError);
}

TEST_CASE("a pool that is exhausted harms nobody") {
    PagePool pool(model(), {.tokens = 5 * 64});
    Session first(pool, options), second(pool, options);
    const Prompt prompt{words(150), {}};
    first.append(prompt);
    const auto bits = logits_of(first);
    second.append({words(30, 3), {}});
    const auto before = logits_of(second);
    CHECK_THAT(message_of<PoolExhausted>([&] {
                   second.append({words(300, 4), {}});
               }),
               contains("5 pages of 64 tokens, of which sessions use 4: 5 are needed, 1 can be had"));
    CHECK(second.length() == 30);
    second.rewind(29);
    second.append(words(30, 3)[29]);
    CHECK(testing::same_bits(logits_of(second), before));
    for (const int token : words(98, 5)) second.append(token);  // up to the pool's last token
    const auto last = logits_of(second);
    CHECK_THROWS_AS(second.append(5), PoolExhausted);
    CHECK(second.length() == 128);
    CHECK(testing::same_bits(logits_of(second), last));
    CHECK(testing::same_bits(logits_of(first), bits));
    first.append(7);  // it has room in a page
    first.rewind(64);
    second.append(5);
    CHECK(second.length() == 129);
    second.reset();
    first.append({std::vector<int>(prompt.tokens.begin() + 64, prompt.tokens.end()), {}});
    CHECK(testing::same_bits(logits_of(first), bits));
}

TEST_CASE("an append that is broken off gives its pages back") {
    PagePool pool(model());
    Session session(pool, {.context = 600, .chunk = 50, .threads = 1});
    const Prompt prompt{words(300), {}};
    int chunks = 0;
    CHECK_THROWS_AS(
        session.append(prompt,
                       {.progress = [&](const Progress&) { return ++chunks < 4; }, .hook = {}, .hidden = nullptr}),
        Cancelled);
    CHECK(session.length() == 0);
    check_all_given_back(pool);
    session.append(prompt);
    CHECK(session.reused_tokens() == 128);  // of the three chunks that were computed
    CHECK(testing::same_bits(logits_of(session), expected(prompt)));
}

TEST_CASE("sessions in several threads compute a common prefix once and get the same bits") {
    PagePool pool(model(), {.tokens = 64 * 40});
    const auto shown = [&] {
        Session<M> session(pool, options);
        return picture(session, {1, 8, 8}, 3);
    }();
    std::vector<std::vector<float>> alone, together(4);
    for (std::uint64_t i = 0; i < together.size(); ++i) {
        auto prompt = talk(shown, 200, i % 2);
        alone.push_back(expected(prompt << words(70, 77)));
    }
    for (int round = 0; round < 3; ++round) {
        std::vector<std::thread> threads;
        for (std::size_t i = 0; i < together.size(); ++i)
            threads.emplace_back([&, i] {
                Session<M> session(pool, {.context = 600, .chunk = 64, .threads = 1 + static_cast<int>(i % 2)});
                session.append(talk(shown, 200, i % 2));
                auto other = session.fork();
                go_on(session);
                together[i] = go_on(other);
            });
        for (auto& t : threads) t.join();
        for (std::size_t i = 0; i < together.size(); ++i) CHECK(testing::same_bits(together[i], alone[i]));
        check_all_given_back(pool);
    }
    CHECK(pool.statistics().reused > 0);
}

TEST_CASE("a session is saved from a pool's pages and restored into them, and harms no other there") {
    PagePool pool(model(), {.tokens = 64 * 16});
    const TemporaryFolder folder;
    Session first(pool, options), second(pool, options), third(pool, options);
    const auto prompt = talk(picture(first, {1, 8, 8}, 3), 150, 5);
    first.append(prompt);
    const auto bits = logits_of(first);
    second.append(prompt);
    second.rewind(100);  // into a page that both have
    second.save(folder.file("shorter"));
    first.save(folder.file("state"));
    go_on(first);
    second.restore(folder.file("state"));
    CHECK(testing::same_bits(logits_of(second), bits));
    CHECK(testing::same_bits(go_on(second), logits_of(first)));
    third.restore(folder.file("shorter"));
    third.append({{prompt.tokens.begin() + 100, prompt.tokens.begin() + 150}, {}});
    CHECK(third.reused_tokens() == 0);  // nobody knows what was restored
    first.rewind(150);
    first.append({words(1, 6), {}});
    third.append({words(1, 6), {}});
    CHECK(testing::same_bits(logits_of(third), logits_of(first)));
    const auto before = logits_of(third);
    first.append({words(300), {}});
    CHECK_THROWS_AS(third.restore(folder.file("state")), PoolExhausted);
    CHECK(third.length() == 151);
    CHECK(testing::same_bits(logits_of(third), before));
    third.reset();
    third.append(prompt);
    CHECK(testing::same_bits(logits_of(third), bits));
}

TEST_CASE("the pool tells its bytes, and a session's plan has its table alone") {
    const auto kv = [](int context) {
        std::int64_t bytes = 0;
        for (const auto& part : M::memory_plan({.context = context, .threads = 1}).parts)
            if (part.name.rfind("kv_cache", 0) == 0) bytes += part.bytes;
        return bytes;
    };
    CHECK(kv(64 * 1000) <= 64 * 1000 * 4 + 1001 * 8 + 64);
    const std::int64_t page =
        D::text.layers * D::text.kv_heads * kv_cache::Bf16::tile_bytes(kv_cache::padded_channels(D::text.head_dim));
    CHECK(PagePool<M>::page_bytes() == page);
    CHECK(PagePool<M>::memory_plan({.tokens = 65}).total() == 2 * page);
    CHECK(PagePool<M>::memory_plan({.bytes = 3 * page + 100}).total() == 3 * page);
    CHECK(PagePool(model(), {.bytes = 3 * page + 100}).statistics().pages == 3);
    CHECK_THAT(message_of<OutOfMemory>([&] { PagePool(model(), {.bytes = page - 1}); }),
               contains("expected room for 1 to") && contains("found 0"));
    CHECK_THROWS_AS(PagePool(model(), {.tokens = -1}), OutOfMemory);
    CHECK_THAT(message_of<OutOfMemory>([&] { PagePool(model(), {.bytes = std::int64_t{1} << 45}); }),
               contains("MiB, available are"));
}

}  // namespace paged_cache_test
