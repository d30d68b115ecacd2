#pragma once
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <qwen3vl/checkpoint/safetensors.hpp>
#include <qwen3vl/core/file.hpp>
#include <qwen3vl/core/tensor.hpp>
#include <random>
#include <string>
#include <vector>
#include "test_data.hpp"

/// Picture files and folders that the tests make for themselves.
namespace pictures {

inline std::string big_endian(std::uint32_t value) {
    std::string s;
    for (int shift = 24; shift >= 0; shift -= 8) s += static_cast<char>(value >> shift & 0xff);
    return s;
}

/// A PNG chunk with its length and checksum (ISO 3309 CRC-32).
inline std::string chunk(const std::string& type, const std::string& data) {
    std::uint32_t crc = 0xffffffff;
    for (const char c : type + data) {
        crc ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    }
    return big_endian(static_cast<std::uint32_t>(data.size())) + type + data + big_endian(~crc);
}

/// A zlib stream of stored blocks.
inline std::string stored(const std::string& data) {
    std::string s = "\x78\x01";
    for (std::size_t at = 0; at < data.size() || at == 0;) {
        const std::size_t n = std::min<std::size_t>(65535, data.size() - at);
        s += at + n == data.size() ? '\1' : '\0';
        for (const std::size_t v : {n, n ^ 0xffff}) s += static_cast<char>(v & 0xff), s += static_cast<char>(v >> 8);
        s += data.substr(at, n);
        at += std::max<std::size_t>(n, 1);
    }
    std::uint32_t a = 1, b = 0;
    for (const char c : data) a = (a + static_cast<unsigned char>(c)) % 65521, b = (b + a) % 65521;
    return s + big_endian(b << 16 | a);
}

/// A PNG whose rows, unfiltered, are given as one string with a filter byte 0 before each; `extra` chunks stand before
/// the data.
inline std::string png(std::uint32_t width, std::uint32_t height, int depth, int colour_type, const std::string& rows,
                       const std::string& extra = "") {
    const std::string header = big_endian(width) + big_endian(height) + static_cast<char>(depth) +
                               static_cast<char>(colour_type) + std::string(3, '\0');
    return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + extra + chunk("IDAT", stored(rows)) + chunk("IEND", "");
}

/// A TIFF block with one entry, the orientation.
inline std::string exif(int orientation, bool big) {
    const auto n = static_cast<char>(orientation);
    if (big) return std::string("MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19) + n + std::string(6, '\0');
    return std::string("II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18) + n + std::string(7, '\0');
}

/// A JPEG with an APP1 segment put behind its first marker.
inline std::string with_exif(const std::string& jpeg, const std::string& tiff) {
    const std::size_t length = tiff.size() + 8;
    return jpeg.substr(0, 2) + "\xff\xe1" + static_cast<char>(length >> 8) + static_cast<char>(length & 0xff) +
           std::string("Exif\0\0", 6) + tiff + jpeg.substr(2);
}

inline std::span<const std::byte> bytes(const std::string& s) { return std::as_bytes(std::span(s.data(), s.size())); }

inline std::string data_file(const std::string& name) { return qwen3vl::read_file(test_data("/") + name); }

/// width * height * channels random bytes.
inline std::vector<std::uint8_t> noise(int width, int height, int channels, unsigned seed = 1) {
    std::mt19937 random(seed);
    std::vector<std::uint8_t> v(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) *
                                static_cast<std::size_t>(channels));
    for (auto& x : v) x = static_cast<std::uint8_t>(random());
    return v;
}

/// A folder that goes away with the object.
struct Folder {
    std::string path;
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "qwen3vl-test-XXXXXX").string();
        if (!::mkdtemp(name.data())) throw std::runtime_error("cannot make a folder " + name);
        path = name;
    }
    ~Folder() {
        std::error_code error;
        std::filesystem::remove_all(path, error);
    }
    std::string operator/(const std::string& name) const { return path + "/" + name; }
    void write(const std::string& name, const std::string& content) const {
        std::ofstream(*this / name, std::ios::binary) << content;
    }
};

template <class T>
std::vector<T> values(const qwen3vl::checkpoint::SafetensorsFile& file, const std::string& name) {
    const auto& view = file.at(name);
    std::vector<T> v(view.bytes() / sizeof(T));
    std::memcpy(v.data(), view.data, v.size() * sizeof(T));
    return v;
}

/// Largest and mean difference in 8-bit steps (a value of 1 is 127.5 of them) and the share of values that are equal
/// but for float rounding: (x - 127.5) / 127.5 has an error of 1e-5 steps at most.
struct Difference {
    double largest = 0, mean = 0, equal = 0;
};
inline Difference difference(const std::vector<float>& a, const std::vector<float>& b) {
    Difference d;
    if (a.size() != b.size()) return {INFINITY, INFINITY, 0};
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double steps = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])) * 127.5;
        d.largest = std::max(d.largest, steps);
        d.mean += steps / static_cast<double>(a.size());
        d.equal += (steps < 1e-4) / static_cast<double>(a.size());
    }
    return d;
}

}  // namespace pictures
