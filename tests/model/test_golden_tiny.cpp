#include "golden.hpp"

using namespace qwen3vl_test;

TEST_CASE("Tiny computes what the reference computes") {
    check_golden_folder<models::Tiny, bundles::float32>("tiny", 8);
}
TEST_CASE("Tiny with Dense attention computes what the reference computes") {
    check_golden_folder<models::Tiny, bundles::dense>("tiny", 8);
}
