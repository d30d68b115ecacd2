#pragma once
#include "test_data.hpp"
// Catch2 2 and 3 spell their header differently.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
