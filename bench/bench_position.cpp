// Positions: angles of the decoder's and the tower's rotary embeddings, the turning of heads, and the tower's table.
#include <array>
#include <qwen3vl/kernels/rows.hpp>
#include <qwen3vl/position/position.hpp>
#include "slot_bench.hpp"

namespace {
namespace q = qwen3vl;

/// Cosines and sines of one token of the decoder, or of one patch.
template <class Rotary, class Position>
void angles(const q::TextDims& dims, const std::vector<float>& frequencies, const Position& position, float* cosines,
            float* sines) {
    q::position::text_angles<bench::Arch, Rotary>(dims, frequencies, position, cosines, sines);
}
template <class Rotary, class Position>
void angles(const q::VisionDims& dims, const std::vector<float>& frequencies, const Position& position, float* cosines,
            float* sines) {
    q::position::angles<Rotary>(dims, frequencies, position, cosines, sines);
}

/// Cosines and sines of `tokens` tokens; `position(i)` gives token i's coordinates.
template <class Rotary, class D, class Position>
void add_angles(const D& dims, int head_dim, std::int64_t tokens, const Position& position) {
    bench::add("position/" + std::string(Rotary::name) + "/angles/tokens:" + std::to_string(tokens),
               [=](benchmark::State& state) {
                   const auto frequencies = q::position::frequencies<Rotary>(dims, head_dim);
                   const std::int64_t half = head_dim / 2, bytes = 2 * tokens * half * 4;
                   std::vector<float> cosines(static_cast<std::size_t>(tokens * half)), sines(cosines.size());
                   bench::measure(state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true},
                                  tokens, [&] {
                                      for (std::int64_t i = 0; i < tokens; ++i)
                                          angles<Rotary>(dims, frequencies, position(i), cosines.data() + i * half,
                                                         sines.data() + i * half);
                                      benchmark::ClobberMemory();
                                  });
               });
}

/// Turns `heads` heads of `tokens` tokens; every rotary policy shares this kernel.
void add_rotate(const char* of, std::int64_t heads, std::int64_t head_dim, std::int64_t tokens) {
    bench::add(
        "position/rotate_row/" + std::string(of) + "/tokens:" + std::to_string(tokens), [=](benchmark::State& state) {
            const auto x = bench::random_floats(tokens * heads * head_dim),
                       angles = bench::random_floats(tokens * head_dim, 2);
            std::vector<float> out(x.size());
            const std::int64_t bytes = (2 * heads + 1) * tokens * head_dim * 4;
            bench::measure(
                state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true}, tokens, [&] {
                    for (std::int64_t t = 0; t < tokens; ++t)
                        for (std::int64_t h = 0; h < heads; ++h) {
                            const float* cosines = angles.data() + t * head_dim;
                            q::kernels::rotate_row<bench::Arch>(x.data() + (t * heads + h) * head_dim, cosines,
                                                                cosines + head_dim / 2, head_dim / 2,
                                                                out.data() + (t * heads + h) * head_dim);
                        }
                    benchmark::ClobberMemory();
                });
        });
}

/// Where the patches of a side x side grid lie in the table.
template <class Table>
void add_table(int side) {
    bench::add(
        "position/" + std::string(Table::name) + "/samples/side:" + std::to_string(side), [=](benchmark::State& state) {
            std::vector<typename Table::Sample> out(static_cast<std::size_t>(2 * side));
            const auto bytes = static_cast<std::int64_t>(out.size() * sizeof out[0]);
            bench::measure(
                state, 1, {.bytes = static_cast<double>(bytes), .footprint = bytes, .writes = true}, side, [&] {
                    for (int i = 0; i < side; ++i) {
                        out[static_cast<std::size_t>(2 * i)] = Table::sample(i, side, bench::Full::vision.side());
                        out[static_cast<std::size_t>(2 * i + 1)] =
                            Table::sample(side - 1 - i, side, bench::Full::vision.side());
                    }
                    benchmark::ClobberMemory();
                });
        });
}

}  // namespace

int main(int argc, char** argv) {
    constexpr auto text = bench::Full::text;
    constexpr auto vision = bench::Full::vision;
    q::for_each_type<q::position::text_all>([&]<class T>(T) {
        for (const int tokens : {1, 512})
            add_angles<typename T::type>(text, text.head_dim, tokens, [](std::int64_t i) {
                const int first = 4096, at = static_cast<int>(i);  // at 0 the standard library has nothing to reduce
                return std::array{first + at, first + at / 7, first + at % 7};
            });
    });
    q::for_each_type<q::position::vision_all>([&]<class T>(T) {
        add_angles<typename T::type::rotary>(vision, vision.head_dim(), 1024, [](std::int64_t i) {
            return std::array{static_cast<int>(i) / 32, static_cast<int>(i) % 32};
        });
        add_table<typename T::type::table>(64);
    });
    add_rotate("text", text.heads + text.kv_heads, text.head_dim, 512);
    add_rotate("vision", 2 * vision.heads, vision.head_dim(), 1024);
    return bench::run(argc, argv);
}
