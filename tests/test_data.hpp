#pragma once
#include <string>

/// A file or folder of tests/data, and of examples/models. The folders' places are compiled into tests/main.cpp alone,
/// so that checkouts in different places share compiled tests.
std::string test_data(const char* path = "");
std::string test_models(const char* path = "");
