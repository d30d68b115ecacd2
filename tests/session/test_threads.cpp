#include <thread>
#include "prompts.hpp"

using namespace qwen3vl_test;

namespace threads_test {

using D = models::Tiny;
using M = Model<D, bundles::float32>;

TEST_CASE("sessions in several threads share one model") {
    const auto model = testing::synthetic_model<M>();
    std::vector<std::vector<float>> alone, together(4);
    for (std::uint64_t i = 0; i < 4; ++i) alone.push_back(conversation(model, i, 1));
    for (int round = 0; round < 3; ++round) {
        {
            std::vector<std::jthread> threads;
            for (std::uint64_t i = 0; i < 4; ++i)
                threads.emplace_back([&, i] { together[i] = conversation(model, i, 1 + static_cast<int>(i % 3)); });
        }
        for (std::size_t i = 0; i < 4; ++i) CHECK(testing::same_bits(together[i], alone[i]));
    }
}

TEST_CASE("prefill and decode have thread counts of their own, and the results the same bits") {
    const auto model = testing::synthetic_model<M>();
    const auto alone = conversation(model, 1, 1);
    for (const int threads : {1, 2, 4})
        for (const int decode_threads : {0, 1, 3, 5})
            CHECK(testing::same_bits(conversation(model, 1, threads, decode_threads), alone));
}

TEST_CASE("a picture encoded by one session serves others at the same time") {
    const auto model = testing::synthetic_model<M>();
    Session<M> encoder(model, {.context = 1, .threads = 1});
    const auto prompt = picture_prompt<D>(encoder, {{1, 4, 6}});
    const auto expected = run(model, prompt);
    std::vector<std::vector<float>> found(3);
    {
        std::vector<std::jthread> threads;
        for (auto& f : found) threads.emplace_back([&] { f = run(model, prompt, 5); });
    }
    for (const auto& f : found) CHECK(testing::same_bits(f, expected));
}

}  // namespace threads_test
