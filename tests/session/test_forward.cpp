#include <qwen3vl/ops/recording.hpp>
#include <qwen3vl/testing/standalone_session.hpp>
#include <qwen3vl/testing/type_list.hpp>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace forward_test {

using D = models::Tiny;

/// Masks, algorithms and caches that tell a row from its neighbours in ways of their own.
struct evicting
    : TextPolicies<>::with_kv_cache<kv_cache::Evicting<Tokens{64}, kv_cache::HeavyHitters, Protected{.recent = 20}>> {};
struct linear : TextPolicies<>::with_attention<attention::Linear<Features{64}>>::with_kv_cache<
                    kv_cache::Recurrent<Features{64}>> {};
struct chosen
    : TextPolicies<>::with_attention<
          attention::Flash<mask::DynamicSparse<BlockBudget{.block = 16, .keep = 2, .local = 1}, mask::MeanKey>>> {};
struct apart : TextPolicies<>::with_attention<attention::WithinModality> {};
struct hybrid : TextPolicies<>::with_kv_cache<kv_cache::Hybrid<Tokens{32}>> {};
struct offloaded : TextPolicies<>::with_kv_cache<kv_cache::Offloaded<kv_cache::Contiguous<>, Tokens{64}>> {};
struct paged : TextPolicies<>::with_kv_cache<kv_cache::Paged<kv_cache::Int8>> {};
struct shared_layers : TextPolicies<>::with_kv_cache<kv_cache::CrossLayer<>> {};
struct nf4 : TextPolicies<>::with_weights<weights::NF4<>> {};
struct f16 : TextPolicies<>::with_weights<weights::F16> {};

template <class Text>
struct Of {
    using type = Policies<Choice<slot::text, Text>>;
};
#if defined(QWEN3VL_SANITIZED)
using Kinds = list<Of<evicting>, Of<paged>, Of<chosen>>;
#else
using Kinds = list<Of<evicting>, Of<linear>, Of<chosen>, Of<apart>, Of<hybrid>, Of<offloaded>, Of<paged>,
                   Of<shared_layers>, Of<nf4>, Of<f16>>;
#endif

template <class M>
using Pool = std::conditional_t<Sequence<M>::can_share, PagePool<M>, const M&>;

template <class M>
Prompt talk(Workspace<M>& workspace, std::uint64_t seed, std::size_t tokens) {
    Prompt p;
    p << words(5 + seed, seed);
    add_visual<D>(
        p, encode(workspace, testing::synthetic_patches(D::vision, {1, 4, 4 + 2 * static_cast<int>(seed)}, seed)));
    if (p.tokens.size() < tokens) p << words(tokens - p.tokens.size(), seed + 1);
    return p;
}

/// Logits of every step of a conversation that has the model to itself.
template <class M>
std::vector<std::vector<float>> alone(const M& model, const Prompt& prompt, const std::vector<int>& more,
                                      const std::string& folder) {
    testing::StandaloneSession<M> session(model, {.context = 200, .threads = 1, .offload_folder = folder});
    std::vector<std::vector<float>> logits;
    session.append(prompt);
    logits.push_back(logits_of(session));
    for (const int token : more) {
        session.append(token);
        logits.push_back(logits_of(session));
    }
    return logits;
}

/// Several conversations in one workspace: some are prefilled in pieces while others decode, in every mixture.
template <class M>
void check_mixed(const M& model) {
    const TemporaryFolder folder;
    const SequenceOptions options{.context = 200, .offload_folder = folder.path()};
    Workspace<M> workspace(model, {.context = 200, .rows = 64, .threads = 2, .logits_rows = 2});
    Pool<M> pool(model);
    constexpr std::size_t count = 4;
    Sequence<M> a(pool, options), b(pool, options), c(pool, options), d(pool, options);
    Sequence<M>* const all[count] = {&a, &b, &c, &d};
    std::vector<std::vector<std::vector<float>>> expected;
    std::vector<std::vector<int>> more;
    for (std::size_t i = 0; i < count; ++i) {
        const auto prompt = talk(workspace, i + 1, 40 + 31 * i);
        more.push_back(words(12, 50 + i));
        expected.push_back(alone(model, prompt, more[i], folder.path()));
        all[i]->append(prompt);
    }
    std::size_t decoded[count] = {}, wrong = 0, mixed = 0;
    for (std::uint64_t step = 0; step < 200; ++step) {
        std::vector<Chunk<M>> chunks;
        testing::Rng random(step + 7);
        for (std::size_t i = 0; i < count; ++i) {
            Sequence<M>& s = *all[i];
            if (s.pending() == 0 && decoded[i] < more[i].size()) s.append(more[i][decoded[i]++]);
            if (s.pending() == 0 || random.bits() % 4 == 0) continue;
            const std::int64_t n =
                std::min<std::int64_t>(s.pending(), 1 + static_cast<std::int64_t>(random.bits() % 15));
            chunks.push_back(
                {&s, n,
                 n == s.pending() ? std::min<std::int64_t>(n, 1 + static_cast<std::int64_t>(random.bits() % 3)) : 0});
        }
        bool decodes = false, prefills = false;
        for (const auto& chunk : chunks) (chunk.count == 1 ? decodes : prefills) = true;
        mixed += decodes && prefills;
        workspace.forward(chunks);
        for (const auto& chunk : chunks) {
            if (chunk.logits == 0) continue;
            const auto i = static_cast<std::size_t>(std::find(all, all + count, chunk.sequence) - all);
            const auto logits = chunk.sequence->logits();
            wrong += !testing::same_bits({logits.begin(), logits.end()}, expected[i][decoded[i]]);
        }
    }
    for (std::size_t i = 0; i < count; ++i) {
        CHECK(decoded[i] == more[i].size());
        CHECK(all[i]->pending() == 0);
    }
    CHECK(mixed > 5);
    CHECK(wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("a row's bits do not depend on the rows beside it, for every bundle", "",
                        testing::tuple_t<TestedBundles>) {
    using M = Model<D, typename TestType::type>;
    CAPTURE(TestType::type::name);
    check_mixed(testing::synthetic_model<M>());
}

TEMPLATE_LIST_TEST_CASE("a row's bits do not depend on the rows beside it, for every kind of cache, mask and weights",
                        "", testing::tuple_t<Kinds>) {
    check_mixed(testing::synthetic_model<Model<D, typename TestType::type::type>>());
}

TEST_CASE("sessions share a workspace and its threads") {
    using M = Model<D, bundles::float32>;
    const M model = testing::synthetic_model<M>();
    Workspace<M> workspace(model, {.context = 100, .rows = 16, .threads = 2});
    Session<M> a(workspace, {.context = 100}), b(workspace, {.context = 80});
    const Prompt first{words(40, 1), {}}, second{words(50, 2), {}};
    a.append(first);
    const auto of_a = logits_of(a);
    b.append(second);
    CHECK(testing::same_bits(of_a, run(model, first)));
    CHECK(testing::same_bits(logits_of(b), run(model, second)));
    CHECK(testing::same_bits(logits_of(a), of_a));  // its own, whatever others computed
    CHECK_THROWS_WITH(Session<M>(workspace, {.context = 101}),
                      Catch::Contains("101 tokens") && Catch::Contains("context is 100"));
}

TEST_CASE("a forward pass gives logits of as many rows as are asked for") {
    using M = Model<D, bundles::float32>;
    const M model = testing::synthetic_model<M>();
    const Prompt prompt{words(30, 1), {}};
    for (const int at_once : {1, 4, 30}) {
        Workspace<M> workspace(model, {.context = 100, .rows = 30, .threads = 2, .logits_rows = at_once});
        Sequence<M> sequence(model, {.context = 100});
        sequence.append(prompt);
        const Chunk<M> chunk{&sequence, 30, 11};
        std::int64_t next = 0;
        workspace.forward({&chunk, 1}, {.logits = [&](std::int64_t row, ConstMatrix rows) {
                              CHECK(row == next);
                              CHECK(rows.rows <= at_once);
                              for (std::int64_t r = 0; r < rows.rows; ++r, ++next) {
                                  const Prompt prefix{{prompt.tokens.begin(), prompt.tokens.begin() + 20 + next}, {}};
                                  CHECK(testing::same_bits({rows.row(r), rows.row(r) + rows.cols}, run(model, prefix)));
                              }
                          }});
        CHECK(next == 11);
        const auto logits = sequence.logits();
        CHECK(testing::same_bits({logits.begin(), logits.end()}, run(model, prompt)));
    }
}

TEST_CASE("a continuation's score is that of its tokens' logits") {
    using M = Model<D, bundles::bf16>;
    const M model = testing::synthetic_model<M>();
    Session<M> session(model, {.context = 200, .chunk = 24, .threads = 2}),
        stepwise(model, {.context = 200, .threads = 1});
    const auto prompt = picture_prompt<D>(session, {{1, 6, 8}}, 20);
    const auto continuation = words(60, 8);
    const Score score = session.score(prompt, continuation);
    stepwise.append(prompt);
    REQUIRE(score.logprobs.size() == continuation.size());
    double sum = 0;
    for (std::size_t i = 0; i < continuation.size(); ++i) {
        CHECK(score.logprobs[i] == logprob(stepwise.logits(), continuation[i]));
        sum += score.logprobs[i];
        stepwise.append(continuation[i]);
    }
    CHECK(score.sum() == sum);
    CHECK(sum < 0);
    CHECK(testing::same_bits(logits_of(session), logits_of(stepwise)));
    CHECK(session.score({}, words(3, 9)).logprobs.front() == logprob(stepwise.logits(), words(3, 9)[0]));
    session.reset();
    CHECK_THROWS_WITH(session.score({}, continuation), Catch::Contains("prompt before the continuation"));
    CHECK(session.length() == 0);
}

TEST_CASE("a session is brought to a whole prompt by what is new in it") {
    using M = Model<D, bundles::float32>;
    const M model = testing::synthetic_model<M>();
    Session<M> session(model, {.context = 200, .threads = 1});
    const auto prompt = picture_prompt<D>(session, {{1, 4, 4}, {2, 4, 4}}, 10);
    CHECK(session.resume(prompt) == 0);
    const auto expected = logits_of(session);
    const auto n = static_cast<std::int64_t>(prompt.tokens.size());
    CHECK(session.resume(prompt) == n - 1);
    CHECK(testing::same_bits(logits_of(session), expected));
    for (const int token : words(7, 4)) session.append(token);
    auto longer = prompt;
    longer << words(20, 5);
    CHECK(session.resume(longer) == n);
    CHECK(testing::same_bits(logits_of(session), run(model, longer)));

    auto equal = prompt;  // the same pictures in other objects
    for (auto& v : equal.visuals) v = std::make_shared<VisualFeatures>(*v);
    CHECK(session.resume(equal) == n - 1);
    CHECK(testing::same_bits(logits_of(session), expected));
    auto other = prompt;  // another clip: its frame pairs stand behind one another, and all are new
    auto changed = std::make_shared<VisualFeatures>(*prompt.visuals[1]);
    changed->embedding.back() += 1;
    other.visuals[1] = changed;
    const auto clip = session.sequence().tokens().pictures()[1].first;
    CHECK(session.resume(other) == clip);
    CHECK(testing::same_bits(logits_of(session), run(model, other)));
    Prompt within{{prompt.tokens.begin(), prompt.tokens.begin() + clip}, {prompt.visuals[0]}};
    CHECK(session.resume(within) == clip - 1);
    CHECK(testing::same_bits(logits_of(session), run(model, within)));
}

TEST_CASE("chunks that do not fit are refused, and change nothing") {
    using M = Model<D, bundles::float32>;
    const M model = testing::synthetic_model<M>(), stranger = testing::synthetic_model<M>(2);
    Workspace<M> workspace(model, {.context = 50, .rows = 16, .threads = 1});
    Sequence<M> sequence(model, {.context = 100}), foreign(stranger, {.context = 50});
    sequence.append({words(60, 1), {}});
    foreign.append({words(5, 1), {}});
    const auto refused = [&](Chunk<M> chunk, const char* why) {
        CHECK_THROWS_WITH(workspace.forward({&chunk, 1}), Catch::Contains(why));
        CHECK(sequence.length() == 0);
        CHECK(sequence.pending() == 60);
    };
    refused({&sequence, 0, 0}, "0 tokens");
    refused({&sequence, 61, 0}, "60 pending");
    refused({&sequence, 5, 6}, "logits of 6");
    refused({&sequence, 17, 0}, "17 rows");
    refused({&foreign, 5, 1}, "another model");
    for (int i = 0; i < 3; ++i) {
        const Chunk<M> chunk{&sequence, 16, 1};
        workspace.forward({&chunk, 1});
    }
    const Chunk<M> beyond{&sequence, 3, 1};
    CHECK_THROWS_AS(workspace.forward({&beyond, 1}), ContextOverflow);
    CHECK(sequence.length() == 48);
    CHECK(sequence.has_logits());
}

TEST_CASE("the last layer computes the rows whose logits are wanted, and the keys of all") {
    using M =
        Model<models::Tall, PoliciesWithWeights<weights::Mapped<weights::Float32>>::with_execution<ops::Recorded<>>>;
    const auto model = testing::synthetic_model<M>();
    const auto rows_of = [&](const char* matrix, std::int64_t logits, bool hidden) {
        std::int64_t rows = -1;
        const weights::WeightMatrix* wanted = nullptr;
        for (const auto& p : model.loaded().parameters)
            if (p.name.find("layers." + std::to_string(models::Tall::text.layers - 1) + "." + matrix) !=
                std::string::npos)
                wanted = p.matrix;
        REQUIRE(wanted);
        ops::Recorder recorder;
        recorder.inputs = [&](const weights::WeightMatrix& w, ConstMatrix x) {
            if (w.data() == wanted->data()) rows = x.rows;
        };
        Workspace<M> workspace(model, {.context = 64, .rows = 20, .threads = 2, .recorder = &recorder});
        Sequence<M> sequence(model, {.context = 64});
        sequence.append(Prompt{words(20, 3)});
        std::vector<float> states(static_cast<std::size_t>(20 * models::Tall::text.hidden));
        const Chunk<M> chunk{&sequence, 20, logits};
        workspace.forward({&chunk, 1}, {.hidden = hidden ? states.data() : nullptr});
        return rows;
    };
    for (const char* matrix : {"self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj"}) {
        CHECK(rows_of(matrix, 1, false) == 1);
        CHECK(rows_of(matrix, 7, false) == 7);
        CHECK(rows_of(matrix, 0, false) == -1);  // not at all
        CHECK(rows_of(matrix, 1, true) == 20);
    }
    for (const char* matrix : {"self_attn.k_proj", "self_attn.v_proj"}) CHECK(rows_of(matrix, 1, false) == 20);
}

}  // namespace forward_test
