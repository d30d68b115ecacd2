// Activations: rows of the feed-forward layer's width, for a step and for a chunk.
#include <qwen3vl/activation/activation.hpp>
#include "slot_bench.hpp"

namespace {

template <class Activation>
void add_rows(std::int64_t rows) {
    constexpr std::int64_t width = bench::Full::text.ffn;
    bench::add("activation/" + std::string(Activation::name) + "/ffn/rows:" + std::to_string(rows),
               [=](benchmark::State& state) {
                   const auto x = bench::random_floats(rows * width), gate = bench::random_floats(rows * width, 2);
                   std::vector<float> out(x.size());
                   const std::int64_t bytes = (Activation::gated ? 3 : 2) * rows * width * 4;
                   bench::measure(
                       state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true}, rows, [&] {
                           for (std::int64_t r = 0; r < rows; ++r) {
                               const auto at = static_cast<std::size_t>(r * width);
                               if constexpr (Activation::gated)
                                   Activation::template row<bench::Arch>(gate.data() + at, x.data() + at, width,
                                                                         out.data() + at);
                               else
                                   Activation::template row<bench::Arch>(x.data() + at, width, out.data() + at);
                           }
                           benchmark::ClobberMemory();
                       });
               });
}

}  // namespace

int main(int argc, char** argv) {
    qwen3vl::for_each_type<qwen3vl::activation::all>([]<class T>(T) {
        add_rows<typename T::type>(1);
        add_rows<typename T::type>(512);
    });
    return bench::run(argc, argv);
}
