#include <qwen3vl/testing/type_list.hpp>
#include "prompts.hpp"

using namespace qwen3vl_test;

namespace memory_plan_test {

using D = models::Tiny;

/// An arena that tells what it was asked for.
struct CountingArena : memory::Arena {
    static constexpr const char* name = "CountingArena";
    static inline std::int64_t mapped = 0, taken = 0;

    CountingArena() = default;
    explicit CountingArena(std::int64_t bytes) : Arena(bytes) { mapped += size(); }
    std::byte* take(std::int64_t bytes) {
        taken += footprint(bytes);
        return Arena::take(bytes);
    }
};

/// Tiny with room for more tokens than any machine has memory for.
struct Endless : models::Tiny {
    static constexpr TextDims text = [] {
        TextDims d = models::Tiny::text;
        d.max_positions = 2'000'000'000;
        return d;
    }();
};

std::int64_t session_bytes(const MemoryPlan& plan) {
    std::int64_t n = 0;
    for (const auto& part : plan.parts)
        for (const char* name : {"tokens", "kv_cache", "mask", "activations", "attention scratch", "logits"})
            if (part.name == name) n += part.bytes;
    return n;
}

TEMPLATE_LIST_TEST_CASE("a session takes what its plan says", "", testing::tuple_t<TestedBundles>) {
    using Bundle = typename TestType::type;
    using M = Model<D, Policies<Choice<slot::text, typename Bundle::Text>,
                                Choice<slot::vision, typename Bundle::Vision>, Choice<slot::memory, CountingArena>>>;
    const auto model = testing::synthetic_model<M>();
    for (const SessionOptions& o : {SessionOptions{.context = 10, .chunk = 3, .threads = 1},
                                    SessionOptions{.context = 500, .chunk = 4096, .threads = 3},
                                    SessionOptions{.context = 4096, .chunk = 512, .threads = 2},
                                    SessionOptions{.context = 100, .chunk = 512, .threads = 2, .decode_threads = 5}}) {
        CAPTURE(Bundle::name, o.context, o.chunk);
        const auto planned = session_bytes(M::memory_plan(o));
        CountingArena::mapped = CountingArena::taken = 0;
        Session<M> session(model, o);
        CHECK(CountingArena::taken == planned);
        CHECK(CountingArena::mapped >= planned);
        CHECK(CountingArena::mapped < planned + 2 * 4096);  // whole pages, of the sequence and of the workspace
    }
}

TEMPLATE_LIST_TEST_CASE("the weights of the plan are the parameters in their format", "",
                        testing::tuple_t<TestedBundles>) {
    using M = Model<D, typename TestType::type>;
    std::int64_t expected = 0, planned = 0, names = 0;
    for (const auto& p : M::manifest().parameters) expected += p.bytes();
    for_each_parameter<D, typename TestType::type>([&](const std::string&, const Shape&) { ++names; });
    CHECK(names == static_cast<std::int64_t>(M::manifest().parameters.size()));
    for (const auto& part : M::memory_plan().parts)
        if (part.name.find("weights") == 0 || part.name == "norms and biases" || part.name == "parameters of policies")
            planned += part.bytes;
    CHECK(planned == expected);
}

TEST_CASE("mapped weights are told apart from those that must be converted") {
    using Bf16 = Model<models::Qwen3VL_2B, bundles::mapped>;
    using Exact = Model<models::Qwen3VL_2B, PoliciesWithWeights<weights::Mapped<weights::Float32>>>;
    const SessionOptions small{.context = 128, .threads = 1};
    CHECK(Bf16::memory_plan(small, DType::bf16).anonymous() < (64 << 20));
    CHECK(Bf16::memory_plan(small, DType::bf16).total() > 2 * parameter_count<models::Qwen3VL_2B>());
    CHECK(Bf16::memory_plan(small, DType::f32).anonymous() > std::int64_t{3} << 30);
    CHECK(Exact::memory_plan(small, DType::bf16).anonymous() > std::int64_t{7} << 30);
    CHECK(Exact::memory_plan(small, DType::f32).anonymous() < (64 << 20));
}

TEST_CASE("what policies make of their parameters is counted once a model, and in no session") {
    using Plain = kv_cache::Contiguous<>;
    using Cache = kv_cache::LowRank<Rank{64}, Plain>;
    using M = Model<models::Qwen3VL_2B, Policies<>::with_text<TextPolicies<>::with_kv_cache<Cache>>>;
    const auto part = [](const MemoryPlan& plan, const std::string& name) {
        std::int64_t bytes = 0;
        for (const auto& p : plan.parts) bytes += p.name == name ? p.bytes : 0;
        return bytes;
    };
    const auto plan = M::memory_plan({.context = 1024, .threads = 1});
    CHECK(part(plan, "weights: prepared") == 28 * 8 * 3 * 128 * 64 * 4);
    const kv_cache::Extent stored{8, 64, 1024, 0, 0};
    CHECK(part(plan, "kv_cache") == 28 * Plain::bytes(stored));
    CHECK(part(Model<models::Qwen3VL_2B>::memory_plan({.context = 1024}), "weights: prepared") == 0);
}

TEST_CASE("the plan of a picture grows linearly with its patches") {
    using M = Model<models::Qwen3VL_2B, bundles::bf16>;
    const auto bytes = [](Grid g) {
        const auto with = M::memory_plan({.context = 128, .threads = 2, .largest_picture = g}).total();
        return static_cast<double>(with - M::memory_plan({.context = 128, .threads = 2}).total());
    };
    CHECK(bytes({1, 64, 64}) > 0);
    CHECK(bytes({1, 256, 256}) < 16.5 * bytes({1, 64, 64}));  // sixteen times the patches
}

TEST_CASE("a session that cannot have its memory is refused before anything is taken") {
    using M = Model<Endless, Policies<>::with_memory<CountingArena>>;
    const auto model = testing::synthetic_model<M>();
    CountingArena::mapped = 0;
    const SessionOptions absurd{.context = 2'000'000'000, .threads = 1};
    CHECK(M::memory_plan(absurd).total() > std::int64_t{1} << 40);
    CHECK_THROWS_AS(Session<M>(model, absurd), OutOfMemory);
    CHECK_THROWS_WITH(Session<M>(model, absurd), Catch::Contains("2000000000 tokens") && Catch::Contains("MiB"));
    CHECK(CountingArena::mapped == 0);
}

}  // namespace memory_plan_test
