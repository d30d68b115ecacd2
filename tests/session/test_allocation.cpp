#include <cstdlib>
#include <qwen3vl/fusion/cross_attention.hpp>
#include <qwen3vl/testing/standalone_session.hpp>
#include "counting_malloc.hpp"
#include "prompts.hpp"
#include "temporary_folder.hpp"

using namespace qwen3vl_test;

namespace allocation_test {

using D = models::Tiny;

template <class Bundle, class Execution>
using With = Model<D, Policies<Choice<slot::text, typename Bundle::Text>, Choice<slot::vision, typename Bundle::Vision>,
                               Choice<slot::execution, Execution>>>;

struct evicting
    : TextPolicies<>::with_kv_cache<kv_cache::Evicting<Tokens{64}, kv_cache::HeavyHitters, Protected{.recent = 20}>> {};
/// All but the latest tokens on disk.
struct offloaded : TextPolicies<>::with_kv_cache<kv_cache::Offloaded<kv_cache::Contiguous<>, Tokens{1}>> {};

struct apart : TextPolicies<>::with_attention<attention::WithinModality> {};

/// In pages, of which a new one is taken and a full one published every 64 tokens.
struct paged : TextPolicies<>::with_kv_cache<kv_cache::Paged<>> {};

/// A memory policy whose blocks are counted.
class Heap {
  public:
    static constexpr const char* name = "Heap";
    static std::int64_t footprint(std::int64_t bytes) { return round_up(bytes, 64); }
    Heap() = default;
    explicit Heap(std::int64_t bytes) : memory_(aligned_bytes(static_cast<std::size_t>(bytes))) {
        std::fill_n(memory_.get(), bytes, std::byte{0});
    }
    std::byte* take(std::int64_t bytes) { return memory_.get() + std::exchange(used_, used_ + footprint(bytes)); }

  private:
    AlignedBytes memory_{nullptr, &std::free};
    std::int64_t used_ = 0;
};

template <class M>
void check_decode(const M& model = testing::synthetic_model<M>()) {
    const TemporaryFolder folder;
    testing::StandaloneSession<M> session(model, {.context = 300, .offload_folder = folder.path()});
    const auto prompt = picture_prompt<D>(session, {{1, 4, 4}});
    session.append(prompt);
    const auto tokens = words(270);
    std::int64_t largest = 0;
    for (const int token : tokens) {  // across tiles of the cache, up to the last token that fits
        const auto before = allocations.load();
        session.append(token);
        const auto logits = session.logits();
        largest = std::max(largest, allocations.load() - before);
        REQUIRE(std::isfinite(logits[0]));
    }
    CHECK(largest == 0);
}

/// Weights and the session's memory leave for the disk in every step.
void check_tiers() {
    using M = Model<D, Policies<Choice<slot::memory, memory::Tiered>>>;
    const TemporaryFolder folder;
    memory::Tiers endless({});
    const auto source = std::make_shared<testing::SyntheticSource>();
    { const M whole(*source, source, nullptr, {.tiers = &endless}); }
    memory::Tiers tiers({.folder = folder.path(), .attention = endless.statistics(memory::Pool::attention).peak / 2});
    const M model(*source, source, nullptr, {.tiers = &tiers});
    Session<M> session(model, {.context = 100});
    session.append({words(20), {}});
    for (const int token : words(70)) {
        const auto before = allocations.load();
        session.append(token);
        REQUIRE(allocations.load() == before);
    }
    CHECK(tiers.statistics(memory::Pool::attention).fetched > 70);
}

bool counts() {
    if (!QWEN3VL_COUNTS_ALLOCATIONS) WARN("SKIPPED: allocations are not counted under a sanitizer");
    return QWEN3VL_COUNTS_ALLOCATIONS;
}

TEST_CASE("the counter counts") {
    if (!counts()) return;
    const auto before = allocations.load(), held = bytes_held.load();
    auto* volatile a = new char[100];
    void* volatile b = std::aligned_alloc(64, 640);
    CHECK(allocations.load() - before == 2);
    CHECK(bytes_held.load() - held >= 740);
    delete[] a;
    std::free(b);
    CHECK(bytes_held.load() == held);
}

TEST_CASE("a decode step makes no heap allocation, on one thread") {
    if (!counts()) return;
    check_decode<With<bundles::float32, execution::Serial>>();
    check_decode<With<bundles::dense, execution::Serial>>();
}

TEST_CASE("a decode step makes no heap allocation, on several threads and over a ring") {
    if (!counts()) return;
    check_decode<With<bundles::bf16, execution::Threads<ThreadCount{3}>>>();
    check_decode<With<bundles::bf16, execution::Threads<>>>();
    check_decode<With<bundles::window, execution::Threads<ThreadCount{2}>>>();
}

TEST_CASE("a decode step makes no heap allocation with cross-attention to pictures") {
    if (!counts()) return;
    using Crossing = Policies<>::with_fusion<fusion::CrossAttention<>>;
    check_decode<Model<D, Crossing>>();
    using Outside = Policies<>::with_fusion<fusion::CrossAttention<fusion::pictures::Outside<>>>;
    check_decode<Model<D, Outside>>();
}

TEST_CASE("a decode step makes no heap allocation where older tokens are given up") {
    if (!counts()) return;
    check_decode<With<Policies<>::with_text<evicting>, execution::Serial>>();
}

TEST_CASE("a decode step makes no heap allocation where a mask asks for the modality of tokens") {
    if (!counts()) return;
    check_decode<With<Policies<>::with_text<apart>, execution::Threads<ThreadCount{2}>>>();
}

TEST_CASE("a decode step makes no heap allocation where older tokens are on disk") {
    if (!counts()) return;
    check_decode<With<Policies<>::with_text<offloaded>, execution::Serial>>();
    check_decode<With<Policies<>::with_text<offloaded>, execution::Threads<ThreadCount{3}>>>();
}

TEST_CASE("a decode step makes no heap allocation where tokens are in pages of a pool") {
    if (!counts()) return;
    check_decode<With<Policies<>::with_text<paged>, execution::Serial>>();
    check_decode<With<Policies<>::with_text<paged>, execution::Threads<ThreadCount{3}>>>();
}

TEST_CASE("a decode step makes no heap allocation where memory has tiers") {
    if (counts()) check_tiers();
}

TEST_CASE("a decode step makes no heap allocation where its weights are paged") {
    if (!counts()) return;
    struct Packable : testing::SyntheticSource {
        std::uint64_t fingerprint() const { return 1; }
    };
    const TemporaryFolder folder;
    auto source = std::make_shared<Packable>();
    using M = Model<D, PoliciesWithWeights<weights::Streamed<weights::Bf16>>>;
    check_decode(M(*source, source, nullptr, {.packed = folder.path()}));
}

TEST_CASE("encoding a picture takes from the memory policy what its plan says") {
    if (!counts()) return;
    using M = Model<D, Policies<Choice<slot::memory, Heap>>>;
    const auto model = testing::synthetic_model<M>();
    for (const Grid grid : {Grid{1, 4, 6}, Grid{1, 48, 40}, Grid{3, 20, 20}}) {
        const SessionOptions options{.context = 64, .chunk = 64, .threads = 2, .largest_picture = grid};
        std::int64_t planned = 0;
        for (const auto& part : M::memory_plan(options).parts)
            if (part.name.starts_with("picture")) planned = part.bytes;
        Session<M> session(model, options);
        const auto before = bytes_held.load();
        const auto patches = testing::synthetic_patches(D::vision, grid);
        peak_bytes = bytes_held.load();
        const auto features = encode(session.workspace(), patches);
        CAPTURE(grid.t, grid.h, grid.w, planned);
        CHECK(peak_bytes.load() - before <= planned + 16384);  // a page or so for vectors of small things
        CHECK(peak_bytes.load() - before >= planned * 9 / 10);
    }
}

}  // namespace allocation_test
