#define CATCH_CONFIG_MAIN
#include "catch.hpp"

std::string test_data(const char* path) { return std::string(QWEN3VL_TEST_DATA) + path; }
std::string test_models(const char* path) { return std::string(QWEN3VL_MODELS) + path; }
