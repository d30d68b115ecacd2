#include "fixture.hpp"

using namespace qwen3vl_test;

namespace paged_test {

/// Over pages that lie in no order, attention must have the bits that it has over one piece of memory.
template <class Attention, class Codec>
void check(const Sequence& s) {
    CAPTURE(Attention::name, Attention::mask::name, Codec::name, s.tokens, s.kv_heads, s.group, s.head_dim);
    execution::Serial::Team serial(1);
    execution::Threads<>::Team threads(3);
    const auto expected = run<Attention, kv_cache::Contiguous<Codec>>(s, serial, s.tokens);
    CHECK(testing::same_bits(run<Attention, kv_cache::Paged<Codec>>(s, serial, s.tokens), expected));
    for (const std::int64_t chunk : {1, 29, 64, 150})
        CHECK(testing::same_bits(run<Attention, kv_cache::Paged<Codec>>(s, threads, chunk), expected));
}

using Masks = list<mask::Causal, mask::SlidingWindow<Window{.tokens = 100, .sinks = 70}>,
                   mask::BlockSparse<BlockPattern{.block = 16, .local = 2, .global = 1, .stride = 3}>,
                   mask::DynamicSparse<BlockBudget{.keep = 2, .local = 1}>>;

TEMPLATE_LIST_TEST_CASE("keys in pages give the bits of keys in one piece", "", testing::tuple_t<Masks>) {
    using Mask = typename TestType::type;
    for (const std::int64_t tokens : {1, 64, 65, 300})
        check<attention::Flash<Mask>, kv_cache::Float32>(Sequence(tokens, 2, 3, 8));
    check<attention::Flash<Mask>, kv_cache::Bf16>(Sequence(1100, 2, 2, 24));  // several segments
    check<attention::Flash<Mask>, kv_cache::Int8>(Sequence(400, 4, 1, 24));   // multi-head
    check<attention::Flash<Mask>, kv_cache::Int4>(Sequence(400, 1, 4, 40));   // multi-query
    check<attention::Chunked<Mask, Tokens{64}>, kv_cache::Bf16>(Sequence(500, 2, 2, 8));
    check<attention::Dense<Mask>, kv_cache::Bf16>(Sequence(300, 2, 2, 8));
}

}  // namespace paged_test
