// Any bytes as a safetensors file: opened or refused with a LoadError; every byte of every tensor of an opened one is
// readable.
#include <cstdint>
#include <cstdlib>
#include <qwen3vl/checkpoint/safetensors.hpp>
#include "memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qwen3vl;
    const MemoryFile memory(data, size);
    try {
        const auto file = checkpoint::SafetensorsFile::open(memory.path());
        std::size_t covered = 0;
        unsigned sum = 0;
        for (const auto& [name, t] : file.tensors()) {
            covered += t.bytes();
            for (std::size_t i = 0; i < t.bytes(); ++i) sum += std::to_integer<unsigned>(t.data[i]);
        }
        volatile unsigned sink = sum;
        static_cast<void>(sink);
        if (covered > size) std::abort();
    } catch (const LoadError&) {
    }
    // The header again from memory of exactly its size, where the sanitizer sees every read beyond it.
    try {
        checkpoint::parse_safetensors_header(std::as_bytes(std::span(data, size)), "fuzz");
    } catch (const LoadError&) {
    }
    return 0;
}
