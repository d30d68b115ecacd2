#include "failing_disk.hpp"
#include "prompts.hpp"

using namespace qwen3vl_test;
using memory::Pool;
using memory::Tiers;

namespace tiered_test {

using D = models::Tiny;
template <class Memory>
using With = Model<D, Policies<Choice<slot::memory, Memory>>>;
using Plain = With<memory::Arena>;
using M = With<memory::Tiered>;

template <class Model>
Model load(Tiers* tiers = nullptr) {
    const auto source = std::make_shared<testing::SyntheticSource>(3);
    return Model(*source, source, nullptr, {.tiers = tiers});
}

/// Of every session here.
SessionOptions small(Tiers* tiers = nullptr) { return {.context = 300, .chunk = 64, .threads = 2, .tiers = tiers}; }

/// Bytes of a pool, when nothing limits them: of the model's groups, and of a session's.
std::int64_t weights_of(Pool pool) {
    Tiers tiers({});
    const M model = load<M>(&tiers);
    return tiers.statistics(pool).bytes;
}
std::int64_t session_of(Pool pool) {
    Tiers tiers({});
    const M model = load<M>();
    const Session<M> one(model, small(&tiers));
    return tiers.statistics(pool).bytes;
}

/// Conversations that take turns: the logits after each.
template <class S>
std::vector<float> take_turns(std::initializer_list<S*> sessions) {
    std::vector<float> all;
    int turn = 0;
    for (int round = 0; round < 3; ++round)
        for (S* s : sessions) {
            ++turn;
            if (round == turn % 2)
                s->append(picture_prompt<D>(*s, {{1, 4 + 2 * (turn % 3), 6}}, 20));
            else
                s->append({words(30, static_cast<std::uint64_t>(turn)), {}});
            for (const int token : words(5, 50)) s->append(token);
            const auto logits = logits_of(*s);
            all.insert(all.end(), logits.begin(), logits.end());
        }
    return all;
}

TEST_CASE("conversations that take turns have the bits of those that stay in memory, within the budget of each pool") {
    const Plain plain = load<Plain>();
    Session<Plain> a(plain, small()), b(plain, small()), c(plain, small());
    const auto expected = take_turns<Session<Plain>>({&a, &b, &c});
    const TemporaryFolder folder;
    // the caches of one conversation and the weights of all layers but one; weights of the feed-forward part and of the
    // tower stage by stage
    const std::int64_t layer = weights_of(Pool::attention) / D::text.layers, cache = session_of(Pool::attention);
    const std::int64_t attention = cache + weights_of(Pool::attention) - layer, vision = weights_of(Pool::vision) / 2;
    Tiers tiers({.folder = folder.path(),
                 .attention = attention,
                 .mlp = weights_of(Pool::mlp) / 2 + session_of(Pool::mlp),
                 .vision = vision});
    const M model = load<M>(&tiers);
    Session<M> x(model, small(&tiers)), y(model, small(&tiers)), z(model, small(&tiers));
    CHECK(testing::same_bits(take_turns<Session<M>>({&x, &y, &z}), expected));
    for (const Pool pool : {Pool::attention, Pool::mlp, Pool::vision}) {
        INFO(memory::pool_names[static_cast<std::size_t>(pool)]);
        const auto s = tiers.statistics(pool);
        CHECK(s.peak < s.bytes);
        CHECK(s.fetched > 0);
        CHECK(s.read > 0);
    }
    CHECK(tiers.statistics(Pool::attention).peak <= attention);
    CHECK(tiers.statistics(Pool::vision).peak <= vision);
    CHECK(tiers.statistics(Pool::embedding).to_disk == 0);
    CHECK(model.fingerprint() == plain.fingerprint());
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("the tower leaves while text goes on, and comes back for the next picture") {
    const TemporaryFolder folder;
    Tiers tiers({.folder = folder.path()});
    const M model = load<M>(&tiers);
    const auto before = tiers.statistics(Pool::vision);
    CHECK(before.resident == before.bytes);
    Tiers tight({.folder = folder.path(), .vision = before.bytes / 3});
    const M other = load<M>(&tight);
    CHECK(tight.statistics(Pool::vision).resident <= before.bytes / 3);
    Session<M> expecting(model, small()), session(other, small());
    const auto patches = testing::synthetic_patches(D::vision, {1, 8, 6}, 4);
    const auto expected = encode(expecting.workspace(), patches), found = encode(session.workspace(), patches);
    CHECK(testing::same_bits(found->embedding, expected->embedding));
    const std::int64_t fetched = tight.statistics(Pool::vision).fetched;
    CHECK(fetched > 0);
    session.append({words(20), {}});
    CHECK(tight.statistics(Pool::vision).fetched == fetched);
}

TEST_CASE("an idle session is saved, restored and rewound from disk") {
    const Plain plain = load<Plain>();
    const TemporaryFolder folder;
    Session<Plain> expecting(plain, small());
    expecting.append({words(100), {}});
    expecting.rewind(70);
    expecting.append({words(20, 5), {}});
    const auto expected = logits_of(expecting);

    const std::int64_t cache = session_of(Pool::attention);
    Tiers tiers({.folder = folder.path(), .attention = cache});
    const M model = load<M>();
    Session<M> a(model, small(&tiers)), b(model, small(&tiers));
    a.append({words(100), {}});
    const auto after = logits_of(a);
    b.append({words(10, 9), {}});  // a leaves
    CHECK(testing::same_bits(logits_of(a), after));
    a.save(folder.file("state"));
    b.append(3);
    a.rewind(70);
    a.append({words(20, 5), {}});
    CHECK(testing::same_bits(logits_of(a), expected));
    b.restore(folder.file("state"));
    CHECK(testing::same_bits(logits_of(b), after));
    a.append(2);
    b.rewind(70);
    b.append({words(20, 5), {}});
    CHECK(testing::same_bits(logits_of(b), expected));
    CHECK(tiers.statistics(Pool::attention).fetched > 3);
}

TEST_CASE("a disk that fails leaves sessions as they were") {
    const TemporaryFolder folder;
    Tiers tiers({.folder = folder.path(), .attention = session_of(Pool::attention)});
    const M model = load<M>();
    Session<M> a(model, small(&tiers)), b(model, small(&tiers));
    a.append({words(100), {}});
    const auto of_a = logits_of(a);
    {
        const FileLimit no_write(0);
        CHECK_THAT(message_of<FileError>([&] { b.append({words(10), {}}); }), contains("cannot write"));
        CHECK(b.length() == 0);
        a.append(4);
        a.rewind(100);
    }
    b.append({words(10), {}});
    const auto of_b = logits_of(b);
    a.append(4);
    a.rewind(99);
    a.append(words(100)[99]);
    CHECK(testing::same_bits(logits_of(a), of_a));
    CHECK(testing::same_bits(logits_of(b), of_b));
}

TEST_CASE("pools that are too small, and tiers without a policy for them, are refused") {
    const TemporaryFolder folder;
    Tiers tiers({.folder = folder.path(), .embedding = 4096});
    CHECK_THAT(message_of<OutOfMemory>([&] { load<M>(&tiers); }), contains("the pool embedding may have 4096 bytes"));
    CHECK(tiers.statistics(Pool::attention).groups == 0);
    CHECK_THAT(message_of<ConfigError>([&] { load<Plain>(&tiers); }), contains("use memory::Tiered"));
    const M model = load<M>();
    Tiers none({.folder = folder.path(), .attention = 4096});
    CHECK_THAT(message_of<OutOfMemory>([&] { Session<M>(model, small(&none)); }),
               contains("the pool attention may have 4096 bytes"));
}

}  // namespace tiered_test
