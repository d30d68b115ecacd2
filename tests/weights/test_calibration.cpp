#include <qwen3vl/checkpoint/calibration.hpp>
#include <qwen3vl/checkpoint/safetensors_writer.hpp>
#include <qwen3vl/execution/execution.hpp>
#include <qwen3vl/ops/ops.hpp>
#include <qwen3vl/ops/recording.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <qwen3vl/weights/input_gram_sums.hpp>

#include <filesystem>
#include "catch.hpp"
#include "stored_tensor.hpp"

using namespace qwen3vl;
using namespace qwen3vl_test;
using Arch = arch::native;

namespace {

/// A file of one tensor that is gone with the object.
struct File {
    std::string path;
    File(const std::string& name, DType dtype, const std::vector<std::int64_t>& shape, const std::vector<float>& values)
        : path((std::filesystem::temp_directory_path() /
                ("qwen3vl_calibration_" + std::to_string(::getpid()) + ".safetensors"))
                   .string()) {
        checkpoint::write_safetensors(
            path, {{name, TensorView{dtype, shape, reinterpret_cast<const std::byte*>(values.data()), {}}}});
    }
    ~File() { std::filesystem::remove(path); }
};

std::vector<float> diagonal(std::int64_t cols, std::int64_t block, float value) {
    std::vector<float> v(static_cast<std::size_t>(cols * block));
    for (std::int64_t i = 0; i < cols; ++i) v[static_cast<std::size_t>(i * block + i % block)] = value;
    return v;
}

}  // namespace

TEST_CASE("the inputs of recorded matrices are summed, each row once") {
    using Execution = ops::Recorded<>;
    using Ops = operations_of<Execution, Arch>;
    using Plain = weights::Mapped<weights::Float32>;
    Execution::Team team(2);
    testing::Rng rng(2);
    const std::int64_t rows = 300, cols = 150, samples = 103;  // several tasks, two blocks, two passes
    const StoredTensor stored(rng.floats(static_cast<std::size_t>(rows * cols)), DType::f32, rows);
    const weights::WeightMatrix w(stored.view.data, rows, cols), other(stored.view.data + 1, rows, cols);
    weights::InputGramSums sums(128);
    sums.begin(w.data(), "observed.w", cols);
    sums.begin(stored.view.data + 2, "observed.unused", cols);
    ops::Recorder recorder;
    recorder.inputs = [&](const weights::WeightMatrix& matrix, ConstMatrix x) { sums.add<Arch>(matrix.data(), x); };
    team.recorder = &recorder;
    const auto x = rng.floats(static_cast<std::size_t>(samples * cols));
    const EncodedRows<Arch, Plain, Execution::Team> in(team, ConstMatrix(x.data(), samples, cols));
    std::vector<float> y(static_cast<std::size_t>(samples * rows));
    const Ops ops(team, nullptr, 0);
    ops.store<Plain>(in.input, w, nullptr, Matrix(y.data(), samples, rows));
    CHECK(y == product<Arch, Plain>(team, x, samples, w));  // through no operations, so that it is not recorded
    recorder.inputs(other, ConstMatrix(x.data(), samples, cols));
    const auto all = sums.means();
    REQUIRE(all.size() == 1);
    const auto& m = all[0];
    CHECK(m.name == "observed.w");
    CHECK(m.cols == cols);
    REQUIRE(m.block == 128);
    double worst = 0;
    for (std::int64_t i = 0; i < cols; ++i)
        for (std::int64_t j = 0; j < 128; ++j) {
            const std::int64_t column = i / 128 * 128 + j;
            double mean = 0;
            for (std::int64_t r = 0; column < cols && r < samples; ++r)
                mean += static_cast<double>(x[static_cast<std::size_t>(r * cols + i)]) *
                        static_cast<double>(x[static_cast<std::size_t>(r * cols + column)]) /
                        static_cast<double>(samples);
            worst =
                std::max(worst, std::abs(mean - static_cast<double>(m.values[static_cast<std::size_t>(i * 128 + j)])));
        }
    CHECK(worst < 1e-6);  // float32 sums of up to 96 products below 1, over 103
}

TEST_CASE("a calibration file gives back what was written") {
    auto values = diagonal(130, 128, 2.0f);
    values[5] = values[5 * 128] = 0.25f;
    const File file("w", DType::f32, {130, 128}, values);
    auto calibration = checkpoint::Calibration::open(file.path);
    CHECK_FALSE(calibration.moments("other", 130));
    CHECK_THROWS_WITH(calibration.require_used(), Catch::Contains(file.path) && Catch::Contains("'w'"));
    const auto m = calibration.moments("w", 130);
    REQUIRE(m);
    CHECK(m->values == values);
    CHECK(m->block == 128);
    CHECK_NOTHROW(calibration.require_used());
    CHECK(calibration.fingerprint(1) == calibration.fingerprint(1));
    CHECK(calibration.fingerprint(1) != calibration.fingerprint(2));
}

TEST_CASE("calibration files that cannot be used are refused") {
    const auto refused = [](DType dtype, const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
        const File file("w", dtype, shape, values);
        auto calibration = checkpoint::Calibration::open(file.path);
        CHECK_THROWS_AS(calibration.moments("w", 4), LoadError);
        CHECK_THROWS_WITH(calibration.moments("w", 4),
                          Catch::Contains(file.path) && Catch::Contains("'w'") && Catch::Contains("expected"));
    };
    const auto good = diagonal(4, 128, 1.0f);
    CHECK_NOTHROW(checkpoint::Calibration::open(File("w", DType::f32, {4, 128}, good).path).moments("w", 4));
    refused(DType::f32, {4}, good);
    refused(DType::f32, {5, 128}, diagonal(5, 128, 1.0f));
    refused(DType::f32, {4, 100}, good);
    refused(DType::f32, {4, 2048}, diagonal(4, 2048, 1.0f));
    refused(DType::f32, {4, 1, 128}, good);
    refused(DType::i32, {4, 128}, good);
    auto negative = good;
    negative[128 + 1] = -1.0f;
    refused(DType::f32, {4, 128}, negative);
    for (const float bad : {std::nanf(""), HUGE_VALF}) {
        auto values = good;
        values[7] = bad;
        refused(DType::f32, {4, 128}, values);
    }
    CHECK_THROWS_AS(checkpoint::Calibration::open("/nowhere/calibration.safetensors"), FileError);
}
