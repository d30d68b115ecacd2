#pragma once
#include <qwen3vl/core/config.hpp>
#include <stdexcept>
#include <string>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Base of every exception that the library throws on its own account.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// config.json (or another JSON file of a checkpoint) does not describe the model type that was asked for, or is
/// malformed.
struct ConfigError : Error {
    using Error::Error;
    /// Says that a field of a file is not what was expected.
    ConfigError(const std::string& file, const std::string& field, const std::string& expected,
                const std::string& found)
        : Error(file + ": field '" + field + "': expected " + expected + ", found " + found) {}
};

/// A checkpoint's tensors cannot be used: a missing, misshapen or damaged tensor, a damaged file, an unsupported
/// format.
struct LoadError : Error {
    using Error::Error;
    /// Says that a tensor of a file is not what was expected.
    LoadError(const std::string& file, const std::string& tensor, const std::string& expected, const std::string& found)
        : Error(file + ": tensor '" + tensor + "': expected " + expected + ", found " + found) {}
};

/// tokenizer.json cannot be used, or a text cannot be tokenised with it.
struct TokenizerError : Error {
    using Error::Error;
};

/// A picture or clip cannot be decoded or lies outside the limits.
struct ImageError : Error {
    using Error::Error;
};

/// A file cannot be opened, mapped, read or written.
struct FileError : Error {
    using Error::Error;
};

/// A prompt or conversation is malformed: roles out of order, a picture that no placeholder stands for, an empty
/// prompt.
struct PromptError : Error {
    using Error::Error;
};

/// A schema, regular expression or grammar for answers is malformed, asks for something that is not supported, or
/// allows no answer. The message names the place: a JSON pointer, a byte or a rule.
struct GrammarError : Error {
    using Error::Error;
};

/// The context is full. The message says how many tokens still fit.
struct ContextOverflow : Error {
    using Error::Error;
};

/// The memory a plan asks for cannot be had.
struct OutOfMemory : Error {
    using Error::Error;
};

/// A pool of pages that sessions share has too few left. The call that needed them changed nothing; it may be made
/// again when sessions have given some back.
struct PoolExhausted : OutOfMemory {
    using OutOfMemory::OutOfMemory;
};

/// An engine has as many waiting requests as it may. The call changed nothing; it may be made again later.
struct Overloaded : Error {
    using Error::Error;
};

/// A block given back to a memory pool is not one of its own, or was given back before.
struct InvalidBlock : Error {
    using Error::Error;
};

/// The CPU lacks an instruction set that this program was compiled for.
struct UnsupportedCpu : Error {
    using Error::Error;
};

/// The caller's progress callback asked to stop.
struct Cancelled : Error {
    using Error::Error;
};

}  // namespace qwen3vl
