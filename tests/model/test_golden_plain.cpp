#include "golden.hpp"

using namespace qwen3vl_test;

TEST_CASE("Plain computes what the reference computes") {
    check_golden_folder<models::Plain, bundles::float32>("plain", 2);
}
TEST_CASE("Plain with Dense attention computes what the reference computes") {
    check_golden_folder<models::Plain, bundles::dense>("plain", 2);
}
