#pragma once
#include <qwen3vl/core/error.hpp>

#include <cstdio>

/// The exit code of a program that is f(): what f returns, or 2 where the library throws, the error told as one line.
template <class F>
int exit_code(const char* program, F&& f) {
    try {
        return f();
    } catch (const qwen3vl::Error& e) {
        std::fprintf(stderr, "%s: %s\n", program, e.what());
        return 2;
    }
}
