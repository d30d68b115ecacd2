// Weight formats: the 2B's dense layers, one row (decode) and 512 rows (prefill) at a time.
#include <qwen3vl/testing/synthetic_source.hpp>
#include <qwen3vl/weights/linear.hpp>
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;

struct Extent {
    const char* of;
    std::int64_t rows, cols;
};

template <class Format>
void add_linear(Extent e, std::int64_t tokens, int threads) {
    bench::add("weights/" + std::string(Format::name) + "/" + e.of + "/tokens:" + std::to_string(tokens) +
                   "/threads:" + std::to_string(threads),
               [=](benchmark::State& state) {
                   using Traits = q::weights::traits<Format>;
                   using Source = q::testing::SyntheticSource;
                   Source source(Source::part<Format>(), Source::part<Format>());
                   q::execution::Threads<>::Team team(threads);
                   const auto w = q::weights::load<bench::Arch, Format>(source.take("weight", {e.rows, e.cols}),
                                                                        "weight", e.rows, e.cols, team);
                   auto x = bench::random_floats(tokens * e.cols);
                   std::vector<std::byte> in(
                       static_cast<std::size_t>(Traits::template activation_bytes<bench::Arch>(tokens, e.cols)));
                   std::vector<float> y(static_cast<std::size_t>(tokens * e.rows));
                   const std::int64_t bytes = Traits::template bytes<bench::Arch>(e.rows, e.cols);
                   const bench::Part part{.operations = 2.0 * static_cast<double>(tokens * e.rows * e.cols),
                                          .format = Format::name,
                                          .bytes = static_cast<double>(bytes),
                                          .footprint = bytes};
                   bench::measure(state, threads, part, tokens, [&] {
                       const q::weights::PackedActivations input{in.data(), tokens, e.cols};
                       q::weights::pack_rows<bench::Arch, Format>(team, q::Matrix(x.data(), tokens, e.cols), input);
                       q::weights::linear_store<bench::Arch, Format>(team, input, w, nullptr,
                                                                     q::Matrix(y.data(), tokens, e.rows));
                       benchmark::ClobberMemory();
                   });
               });
}

}  // namespace

int main(int argc, char** argv) {
    constexpr auto d = bench::Full::text;
    q::for_each_type<q::weights::all>([&]<class F>(F) {
        using Format = typename F::type;
        for (const int threads : bench::thread_counts()) {
            for (const Extent e : {Extent{"q_proj", d.q_dim(), d.hidden},
                                   {"k_proj", d.kv_dim(), d.hidden},
                                   {"gate_proj", d.ffn, d.hidden},
                                   {"down_proj", d.hidden, d.ffn}})
                for (const int tokens : {1, 512}) add_linear<Format>(e, tokens, threads);
            add_linear<Format>({"head", d.vocab, d.hidden}, 1, threads);
        }
    });
    return bench::run(argc, argv);
}
