// Norms: rows of the decoder's width, of a head and of the tower's width.
#include <qwen3vl/norm/norm.hpp>
#include "slot_bench.hpp"

namespace {

template <class Norm>
void add_rows(const char* of, std::int64_t rows, std::int64_t width) {
    bench::add("norm/" + std::string(Norm::name) + "/" + of + "/rows:" + std::to_string(rows),
               [=](benchmark::State& state) {
                   auto x = bench::random_floats(rows * width);
                   std::vector<float> out(x.size());
                   const auto weight = bench::random_floats(width, 2), bias = bench::random_floats(width, 3);
                   const std::int64_t bytes = 2 * rows * width * 4;
                   bench::measure(
                       state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true}, rows, [&] {
                           for (std::int64_t r = 0; r < rows; ++r)
                               Norm::template row<bench::Arch>(x.data() + r * width, weight.data(), bias.data(), 1e-6f,
                                                               width, out.data() + r * width);
                           benchmark::ClobberMemory();
                       });
               });
}

}  // namespace

int main(int argc, char** argv) {
    qwen3vl::for_each_type<qwen3vl::norm::all>([]<class T>(T) {
        using Norm = typename T::type;
        add_rows<Norm>("hidden", 1, bench::Full::text.hidden);
        add_rows<Norm>("hidden", 512, bench::Full::text.hidden);
        add_rows<Norm>("head", 24 * 512, bench::Full::text.head_dim);
        add_rows<Norm>("vision", 1024, bench::Full::vision.hidden);
    });
    return bench::run(argc, argv);
}
