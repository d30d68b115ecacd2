#include <qwen3vl/testing/type_list.hpp>
#include "golden.hpp"

using namespace qwen3vl_test;

namespace golden_catalogue_test {

template <class Attention>
using Text =
    TextPolicies<Choice<slot::weights, weights::Float32>,
                 Choice<slot::kv_cache, kv_cache::Contiguous<kv_cache::Float32>>, Choice<slot::attention, Attention>>;
template <class Attention>
using Vision = VisionPolicies<Choice<slot::weights, weights::Float32>, Choice<slot::attention, Attention>>;

struct chunked : Policies<Choice<slot::text, Text<attention::Chunked<mask::Causal, Tokens{64}>>>,
                          Choice<slot::vision, Vision<attention::Chunked<mask::Full, Tokens{64}>>>> {};
struct offloaded
    : Policies<Choice<slot::text,
                      TextPolicies<Choice<slot::weights, weights::Float32>,
                                   Choice<slot::kv_cache,
                                          kv_cache::Offloaded<kv_cache::Contiguous<kv_cache::Float32>, Tokens{0}>>>>,
               Choice<slot::vision, Vision<attention::Flash<mask::Full>>>> {};
struct paged : Policies<Choice<slot::text, TextPolicies<Choice<slot::weights, weights::Float32>,
                                                        Choice<slot::kv_cache, kv_cache::Paged<kv_cache::Float32>>>>,
                        Choice<slot::vision, Vision<attention::Flash<mask::Full>>>> {};
struct all_blocks : Policies<Choice<slot::text, Text<attention::Flash<mask::BlockSparse<BlockPattern{.local = 1000}>>>>,
                             Choice<slot::vision, Vision<attention::Flash<mask::Full>>>> {};
struct all_chosen : Policies<Choice<slot::text, Text<attention::Flash<mask::DynamicSparse<BlockBudget{.keep = 1000}>>>>,
                             Choice<slot::vision, Vision<attention::Flash<mask::Full>>>> {};
struct all_modalities : Policies<Choice<slot::text, Text<attention::GlobalEvery<attention::Flash<mask::ByModality<>>>>>,
                                 Choice<slot::vision, Vision<attention::Flash<mask::Full>>>> {};
struct never_full
    : Policies<Choice<slot::text, Text<attention::Flash<>>::with_kv_cache<kv_cache::Evicting<
                                      Tokens{1024}, kv_cache::HeavyHitters, Protected{}, kv_cache::Float32>>>,
               Choice<slot::vision, Vision<attention::Flash<mask::Full>>>> {};
struct full_rank
    : Policies<Choice<slot::text, Text<attention::Flash<>>::with_kv_cache<kv_cache::LowRank<
                                      Rank{models::Tiny::text.head_dim}, kv_cache::Contiguous<kv_cache::Float32>>>>,
               Choice<slot::vision, Vision<attention::Flash<mask::Full>>>> {};
struct all_in_one_window
    : Policies<Choice<slot::text, Text<attention::Flash<>>>,
               Choice<slot::vision,
                      Vision<Layers<Pattern<attention::Flash<mask::GridWindow<PatchWindow{.rows = 1024, .cols = 1024}>>,
                                            attention::Flash<mask::Full>>>>>> {};

#if defined(QWEN3VL_SANITIZED)
using Exact = std::tuple<offloaded, full_rank, all_in_one_window, all_modalities>;
#else
using Exact = std::tuple<chunked, offloaded, all_blocks, all_chosen, full_rank, never_full, paged, all_in_one_window,
                         all_modalities>;
#endif

TEMPLATE_LIST_TEST_CASE("exact policies of the catalogue compute what the reference computes", "", Exact) {
    check_golden_folder<models::Tiny, TestType>("tiny", 8);
}

}  // namespace golden_catalogue_test
