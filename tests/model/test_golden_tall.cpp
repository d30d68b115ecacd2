#include "golden.hpp"

using namespace qwen3vl_test;

TEST_CASE("Tall computes what the reference computes") {
    check_golden_folder<models::Tall, bundles::float32>("tall", 3);
}
TEST_CASE("Tall with Dense attention computes what the reference computes") {
    check_golden_folder<models::Tall, bundles::dense>("tall", 3);
}
