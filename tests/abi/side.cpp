// Compiled twice, for two CPUs: a model of each. QWEN3VL_SIDE names the functions that leave the object.
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/testing/sources.hpp>

using namespace qwen3vl;

#define QWEN3VL_JOIN_(a, b) a##b
#define QWEN3VL_JOIN(a, b) QWEN3VL_JOIN_(a, b)

extern "C" const char* QWEN3VL_JOIN(QWEN3VL_SIDE, _arch)() { return arch::native::name; }

extern "C" const void* QWEN3VL_JOIN(QWEN3VL_SIDE, _add_row)() {
    return reinterpret_cast<const void*>(&kernels::add_row<arch::native>);
}

/// A function with the same name, types and no Arch on both sides: what would be merged if the namespace did not tell
/// the sides apart.
extern "C" const void* QWEN3VL_JOIN(QWEN3VL_SIDE, _shape_text)() { return reinterpret_cast<const void*>(&shape_text); }

/// Logits of a random model with a picture.
extern "C" void QWEN3VL_JOIN(QWEN3VL_SIDE, _logits)(float* out) {
    using M = Model<models::Tiny, bundles::float32>;
    const auto model = testing::synthetic_model<M>();
    Session<M> session(model, {.context = 40, .threads = 2});
    Prompt prompt{{1, 2, models::Tiny::tokens.image, models::Tiny::tokens.image, 3},
                  {encode(session.workspace(), testing::synthetic_patches(models::Tiny::vision, {1, 2, 4}))}};
    session.append(prompt);
    session.append(5);
    std::copy(session.logits().begin(), session.logits().end(), out);
}
