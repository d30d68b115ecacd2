// Feed-forward layers over the weight formats: the 2B's decoder, a step and a chunk.
#include <qwen3vl/activation/activation.hpp>
#include <qwen3vl/ffn/gated.hpp>
#include <qwen3vl/ops/cpu.hpp>
#include <qwen3vl/testing/synthetic_source.hpp>
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;
using Ffns = q::list<q::ffn::Gated>;

template <class Ffn, class Format>
void add_ffn(std::int64_t tokens, int threads) {
    bench::add(
        "ffn/" + std::string(Ffn::name) + "/" + Format::name + "/tokens:" + std::to_string(tokens) +
            "/threads:" + std::to_string(threads),
        [=](benchmark::State& state) {
            using Traits = q::weights::traits<Format>;
            using Source = q::testing::SyntheticSource;
            constexpr std::int64_t hidden = bench::Full::text.hidden, inner = bench::Full::text.ffn;
            Source source(Source::part<Format>(), Source::part<Format>());
            q::execution::Threads<>::Team team(threads);
            const auto load = [&](const char* name, std::int64_t rows, std::int64_t cols) {
                return q::weights::load<bench::Arch, Format>(source.take(name, {rows, cols}), name, rows, cols, team);
            };
            const struct {
                q::weights::WeightMatrix gate, up, down;
            } layer{load("gate", inner, hidden), load("up", inner, hidden), load("down", hidden, inner)};
            auto x = bench::random_floats(tokens * hidden);
            std::vector<float> y(x.size());
            std::vector<std::byte> in(
                static_cast<std::size_t>(Traits::template activation_bytes<bench::Arch>(tokens, hidden))),
                between(static_cast<std::size_t>(Traits::template activation_bytes<bench::Arch>(tokens, inner)));
            const std::int64_t bytes = 2 * Traits::template bytes<bench::Arch>(inner, hidden) +
                                       Traits::template bytes<bench::Arch>(hidden, inner);
            const bench::Part part{.operations = 6.0 * static_cast<double>(tokens * inner * hidden),
                                   .format = Format::name,
                                   .bytes = static_cast<double>(bytes),
                                   .footprint = bytes};
            bench::measure(state, threads, part, tokens, [&] {
                const q::weights::PackedActivations input{in.data(), tokens, hidden};
                q::weights::pack_rows<bench::Arch, Format>(team, q::Matrix(x.data(), tokens, hidden), input);
                const q::ops::Cpu<bench::Arch, q::execution::Threads<>::Team> ops(team, nullptr, 0);
                Ffn::template add<Format, q::activation::SwiGLU>(ops, layer, input, {between.data(), tokens, inner},
                                                                 q::Matrix(y.data(), tokens, hidden));
                benchmark::ClobberMemory();
            });
        });
}

}  // namespace

int main(int argc, char** argv) {
    q::for_each_type<Ffns>([]<class F>(F) {
        q::for_each_type<q::weights::all>([]<class W>(W) {
            for (const int threads : bench::thread_counts())
                for (const int tokens : {1, 512}) add_ffn<typename F::type, typename W::type>(tokens, threads);
        });
    });
    return bench::run(argc, argv);
}
