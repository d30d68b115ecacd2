#include <qwen3vl/testing/standalone_session.hpp>
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace catalogue_test {
using D = models::Tiny;

template <class Attention, class Cache>
using Text =
    Policies<Choice<slot::text, TextPolicies<Choice<slot::attention, Attention>, Choice<slot::kv_cache, Cache>>>>;

struct nibbles : Text<attention::Flash<>, kv_cache::Contiguous<kv_cache::Int4>> {};
struct chunked : Text<attention::Chunked<mask::Causal, Tokens{128}>, kv_cache::Contiguous<kv_cache::Int8>> {};
struct blocks
    : Text<attention::Flash<mask::BlockSparse<BlockPattern{.block = 32, .local = 2, .global = 1, .stride = 4}>>,
           kv_cache::Contiguous<>> {};
struct ring_of_blocks : Text<attention::Flash<mask::BlockSparse<BlockPattern{.block = 32, .local = 2, .global = 1}>>,
                             kv_cache::Ring<Tokens{256}, kv_cache::Int4>> {};
struct chosen
    : Text<attention::Flash<mask::DynamicSparse<BlockBudget{.keep = 1, .local = 1}>>, kv_cache::Contiguous<>> {};
struct chosen_by_means
    : Text<attention::Chunked<mask::DynamicSparse<BlockBudget{.keep = 2, .local = 1, .global = 0}, mask::MeanKey>,
                              Tokens{64}>,
           kv_cache::Contiguous<kv_cache::Int4>> {};

struct hybrid : Text<attention::Flash<>, kv_cache::Hybrid<Tokens{64}>> {};
struct recurrent : Text<attention::Linear<Features{64}>, kv_cache::Recurrent<Features{64}>> {};
struct evicting : Text<attention::Flash<>,
                       kv_cache::Evicting<Tokens{64}, kv_cache::HeavyHitters, Protected{.sinks = 2, .recent = 20}>> {};
struct low_rank : Text<attention::Flash<>, kv_cache::LowRank<Rank{20}, kv_cache::Contiguous<kv_cache::Int8>>> {};
struct routed : Text<attention::Flash<mask::DynamicSparse<BlockBudget{.keep = 1, .local = 1}, mask::Router<8>>>,
                     kv_cache::Contiguous<kv_cache::Int8>> {};
struct shared : Text<attention::Flash<>,
                     kv_cache::CrossLayer<kv_cache::Contiguous<kv_cache::Int8>, LayerGroups{.size = 2, .first = 1}>> {};

struct offloaded : Text<attention::Flash<>, kv_cache::Offloaded<kv_cache::Contiguous<kv_cache::Int8>, Tokens{64}>> {};
struct offloaded_chosen
    : Text<attention::Chunked<mask::DynamicSparse<BlockBudget{.block = 128, .keep = 1, .local = 1}>, Tokens{64}>,
           kv_cache::Offloaded<kv_cache::Contiguous<kv_cache::Int4>, Tokens{1}>> {};
struct offloaded_shared
    : Text<attention::Flash<>, kv_cache::CrossLayer<kv_cache::Offloaded<kv_cache::Contiguous<>, Tokens{1}>,
                                                    LayerGroups{.size = 2, .first = 1}>> {};
struct paged : Text<attention::Flash<>, kv_cache::Paged<kv_cache::Int8>> {};
struct paged_chosen
    : Text<attention::Chunked<mask::DynamicSparse<BlockBudget{.block = 128, .keep = 1, .local = 1}>, Tokens{64}>,
           kv_cache::Paged<>> {};

struct apart : Text<attention::WithinModality, kv_cache::Contiguous<kv_cache::Int8>> {};
struct global_every : Text<attention::GlobalEvery<>, kv_cache::Contiguous<>> {};
struct paged_global_every
    : Text<attention::GlobalEvery<attention::Chunked<mask::ByModality<Sees{.vision_to_language = false}>, Tokens{64}>>,
           kv_cache::Paged<>> {};
struct offloaded_apart : Text<attention::WithinModality, kv_cache::Offloaded<kv_cache::Contiguous<>, Tokens{1}>> {};

#if defined(QWEN3VL_SANITIZED)  // each takes ten seconds to compile: those with the most of their own
using Bundles =
    std::tuple<ring_of_blocks, routed, hybrid, recurrent, low_rank, evicting, offloaded_chosen, paged_global_every>;
#else
using Bundles = std::tuple<nibbles, chunked, blocks, ring_of_blocks, chosen, chosen_by_means, routed, shared, hybrid,
                           recurrent, low_rank, evicting, offloaded, offloaded_chosen, offloaded_shared, paged,
                           paged_chosen, apart, global_every, paged_global_every, offloaded_apart>;
#endif

constexpr int context = 480;

/// Text around two pictures, over several blocks of keys.
template <class M>
Prompt talk(testing::StandaloneSession<M>& session) {
    auto prompt = picture_prompt<D>(session, {{1, 6, 8}, {1, 4, 4}}, 150);
    return prompt << words(200, 9);
}
template <class M>
std::vector<float> go_on(testing::StandaloneSession<M>& session) {
    for (const int token : words(70, 77)) session.append(token);
    return logits_of(session);
}

TEMPLATE_LIST_TEST_CASE("policies of the catalogue give the same bits however a prompt is cut, run, saved and rewound",
                        "", Bundles) {
    using M = Model<D, TestType>;
    const M model = testing::synthetic_model<M>();
    const TemporaryFolder folder;
    testing::StandaloneSession<M> whole(model, {.context = context, .threads = 1, .offload_folder = folder.path()});
    const auto prompt = talk(whole);
    whole.append(prompt);
    const auto after_prompt = logits_of(whole);
    whole.save(folder.file("state"));
    const auto expected = go_on(whole);
    CHECK(std::isfinite(testing::largest_magnitude(expected)));
    for (const int chunk : {1, 7, 64, 100}) {
        CAPTURE(chunk);
        testing::StandaloneSession<M> cut(
            model, {.context = context, .chunk = chunk, .threads = 2, .offload_folder = folder.path()});
        cut.append(prompt);
        CHECK(testing::same_bits(logits_of(cut), after_prompt));
        CHECK(testing::same_bits(go_on(cut), expected));
    }
    testing::StandaloneSession<M> other(model,
                                        {.context = context + 20, .threads = 2, .offload_folder = folder.path()});
    other.append({words(450, 5), {}});
    other.restore(folder.file("state"));
    CHECK(testing::same_bits(go_on(other), expected));
    if constexpr (Session<M>::can_rewind) {
        other.rewind(static_cast<std::int64_t>(prompt.tokens.size()) -
                     60);  // into the text behind the pictures, within blocks that were summed up
        other.append({std::vector<int>(prompt.tokens.end() - 60, prompt.tokens.end()), {}});
        CHECK(testing::same_bits(logits_of(other), after_prompt));
        CHECK(testing::same_bits(go_on(other), expected));
    }
}

}  // namespace catalogue_test
