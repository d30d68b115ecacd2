#pragma once
#include <array>
#include <optional>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/tokenizer/added_tokens.hpp>
#include <qwen3vl/tokenizer/bpe.hpp>
#include <qwen3vl/tokenizer/nfc.hpp>
#include <qwen3vl/tokenizer/split_pattern.hpp>
#include <qwen3vl/tokenizer/utf8.hpp>
#include <qwen3vl/tokenizer/vocabulary.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Byte-level BPE tokenizers as tokenizer.json describes them.
namespace qwen3vl::inline QWEN3VL_ABI::tokenizer {

/// Options of Tokenizer::encode().
struct EncodeOptions {
    /// True: added tokens ("<|im_end|>", "<think>") in the text become their ids, as in the reference. By default they
    /// are plain text like any other, special or not, so that a user's text cannot smuggle in control tokens.
    bool parse_special = false;
};

/// Options of Tokenizer::decode().
struct DecodeOptions {
    bool skip_special = false;  ///< leave out control tokens (added tokens that the file calls special)
};

/// Parts of a tokenizer.json, in the form that Tokenizer works on.
struct TokenizerParts {
    /// A merge of the encoding: two tokens' ids and that of the token they become.
    struct Merge {
        int left = 0, right = 0, result = 0;  ///< ids
    };
    std::string file;       ///< named in errors
    Vocabulary vocabulary;  ///< the model's tokens, findable by their bytes, and the added tokens, which are not
    std::vector<AddedToken> added;     ///< ids that the vocabulary has
    std::vector<Merge> merges;         ///< in order of rank
    std::vector<SplitPattern> splits;  ///< applied in turn, each to every piece of the one before
    bool normalise = false;            ///< NFC, after the added tokens were found
    bool whole_pieces = false;         ///< `ignore_merges`: a piece that is a token becomes that token
    bool missing_bytes = false;  ///< bytes that occur in UTF-8 may lack a token; a text that needs one is then refused
};

/// A byte-level BPE tokenizer as Qwen and other GPT-2 descendants use it, read from a Hugging Face tokenizer.json. With
/// `parse_special` it gives the ids of the reference (the Rust crate `tokenizers`, `encode(text,
/// add_special_tokens=False)`).
///
/// Text is any bytes: those that are no UTF-8 are replaced by U+FFFD first. Time is near linear in its length, whatever
/// it is. Immutable: threads may share one.
class Tokenizer {
  public:
    /// Reads a tokenizer.json. Defined in <qwen3vl/tokenizer/tokenizer_json.hpp>, which alone needs a JSON library.
    /// Throws FileError, or TokenizerError where the file is malformed or asks for something that this class does not
    /// support.
    static Tokenizer open(const std::string& path);
    /// Reads the text of a tokenizer.json; `file_name` is named in errors. Throws TokenizerError as open().
    static Tokenizer from_json(std::string_view text, const std::string& file_name);

    /// Throws TokenizerError where ordinary text could become a control token, or a byte that occurs in UTF-8 has no
    /// token. TokenizerParts::missing_bytes allows the latter.
    explicit Tokenizer(TokenizerParts parts);

    /// Tokenises a text. Throws TokenizerError where it is longer than 1 GiB, holds a byte without a token, or the
    /// file's regular expression runs into its step limit.
    std::vector<int> encode(std::string_view text, EncodeOptions options = {}) const;

    /// The text of some tokens. Bytes that are no UTF-8 when all are joined become U+FFFD. Throws TokenizerError for an
    /// id that no token has.
    std::string decode(std::span<const int> ids, DecodeOptions options = {}) const {
        std::string text;
        Utf8Repair repair;
        for (const int id : ids) {
            const std::string_view bytes = token_bytes(id);
            if (!(options.skip_special && is_special(id))) repair.push(bytes, text);
        }
        repair.finish(text);
        return text;
    }

    /// The token with exactly these bytes. An added token goes by its content ("<|im_end|>"), an ordinary one by its
    /// text (" the", not "Ġthe").
    std::optional<int> token_to_id(std::string_view bytes) const {
        const auto added = added_token_id(bytes);
        return added ? added : vocabulary_.find(bytes);
    }
    /// The id of the added token with this content; nothing where there is none, even if an ordinary token reads the
    /// same.
    std::optional<int> added_token_id(std::string_view content) const {
        const auto id = raw_tokens_.find(content);
        return id ? id : normalised_tokens_.find(content);
    }
    /// A token's bytes, perhaps a part of a character. They live as long as the tokenizer. Throws TokenizerError for an
    /// id that no token has.
    std::string_view token_bytes(int id) const { return vocabulary_.bytes(id); }
    /// True if some token has this id. A model's table may have more rows than there are tokens.
    bool has_token(int id) const { return vocabulary_.contains(id); }
    /// True if the file calls the token a control token. Throws TokenizerError for an id that no token has.
    bool is_special(int id) const {
        vocabulary_.bytes(id);
        return kinds_[static_cast<std::size_t>(id)] == Kind::special;
    }
    /// The largest id + 1.
    int vocab_size() const { return vocabulary_.size(); }
    /// The file it was read from.
    const std::string& file() const { return file_; }

    /// Cuts a template's markup (valid UTF-8) at the added tokens in it. Calls `part(std::string_view text,
    /// std::optional<int> token)` for each part in order: with an added token's id, or nullopt for the text between.
    template <class Part>
    void for_each_added(std::string_view markup, const Part& part) const {
        for_each_part(raw_tokens_, markup, [&](std::string_view text, std::optional<int> token) {
            if (token) return part(text, token);
            for_each_part(normalised_tokens_, text, part);
        });
    }

  private:
    enum class Kind : unsigned char { ordinary, added, special };
    static constexpr std::size_t longest_text = std::size_t{1} << 30;
    static constexpr int no_token = -1;

    /// Working memory of one call of encode().
    struct Encoding {
        explicit Encoding(const Tokenizer& tokenizer) : bpe(tokenizer.merges_) {}
        std::vector<int> ids, symbols;
        SplitScratch scratch;
        BytePairEncoder bpe;
    };

    template <class Part>
    static void for_each_part(const AddedTokenMatcher& tokens, std::string_view text, const Part& part) {
        std::size_t done = 0;
        while (const auto match = tokens.next(text, done)) {
            if (match->begin > done) part(text.substr(done, match->begin - done), std::optional<int>());
            part(text.substr(match->begin, match->end - match->begin), std::optional<int>(match->id));
            done = match->end;
        }
        if (done < text.size()) part(text.substr(done), std::optional<int>());
    }

    /// Cuts a text by the split patterns from `step` on, and appends the pieces' tokens.
    void split(std::string_view text, std::size_t step, Encoding& work) const {
        if (text.empty()) return;
        if (step == splits_.size()) return encode_piece(text, work);
        splits_[step].for_each_piece(text, work.scratch, [&](std::string_view piece) { split(piece, step + 1, work); });
    }
    void encode_piece(std::string_view piece, Encoding& work) const {
        if (whole_pieces_) {
            const auto id = vocabulary_.find(piece);
            if (id && kinds_[static_cast<std::size_t>(*id)] != Kind::special) return work.ids.push_back(*id);
        }
        work.symbols.clear();
        for (const char c : piece) {
            const auto byte = static_cast<unsigned char>(c);
            if (byte_tokens_[byte] == no_token)
                throw TokenizerError(file_ + ": no token stands for byte " + std::to_string(byte) +
                                     ", which the text holds");
            work.symbols.push_back(byte_tokens_[byte]);
        }
        work.bpe.encode(work.symbols, work.ids);
    }

    void add_tokens(const std::vector<AddedToken>& added) {
        std::vector<std::pair<std::string, int>> raw, normalised;
        for (const auto& t : added) {
            if (t.content.empty() || !vocabulary_.contains(t.id))
                throw TokenizerError(file_ + ": added token " + std::to_string(t.id) +
                                     " is empty or not in the vocabulary");
            kinds_[static_cast<std::size_t>(t.id)] = t.special ? Kind::special : Kind::added;
            if (t.normalized)
                normalised.emplace_back(normalise_ ? Nfc::normalise(t.content) : t.content, t.id);
            else
                raw.emplace_back(t.content, t.id);
        }
        raw_tokens_ = AddedTokenMatcher(std::move(raw));
        normalised_tokens_ = AddedTokenMatcher(std::move(normalised));
    }
    /// The token of a single byte. Bytes that never occur in UTF-8 may have none; others as well where `may_miss`.
    int byte_token(unsigned char byte, bool may_miss) const {
        const char c = static_cast<char>(byte);
        const auto id = vocabulary_.find(std::string_view(&c, 1));
        const bool occurs = byte < 0xC0 || (byte >= 0xC2 && byte <= 0xF4);
        if (!id && occurs && !may_miss)
            throw TokenizerError(file_ +
                                 ": field 'model.vocab': expected a token for every byte, found none for byte " +
                                 std::to_string(byte));
        return id ? ordinary(*id) : no_token;
    }
    /// The id itself; throws where a control token would come out of ordinary text.
    int ordinary(int id) const {
        if (is_special(id))
            throw TokenizerError(file_ + ": special token '" + std::string(token_bytes(id)) +
                                 "' is also what ordinary text is merged into");
        return id;
    }

    std::string file_;
    Vocabulary vocabulary_;
    MergeTable merges_;
    std::vector<SplitPattern> splits_;
    std::vector<Kind> kinds_;  // by id
    AddedTokenMatcher raw_tokens_, normalised_tokens_;
    std::array<int, 256> byte_tokens_{};
    bool normalise_, whole_pieces_;
};

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Tokenizer::Tokenizer(TokenizerParts parts)
    : file_(std::move(parts.file)),
      vocabulary_(std::move(parts.vocabulary)),
      merges_(parts.merges.size()),
      splits_(std::move(parts.splits)),
      kinds_(static_cast<std::size_t>(vocabulary_.size()), Kind::ordinary),
      normalise_(parts.normalise),
      whole_pieces_(parts.whole_pieces) {
    add_tokens(parts.added);
    for (std::size_t b = 0; b < byte_tokens_.size(); ++b)
        byte_tokens_[b] = byte_token(static_cast<unsigned char>(b), parts.missing_bytes);
    for (std::size_t rank = 0; rank < parts.merges.size(); ++rank) {
        const auto& m = parts.merges[rank];
        merges_.insert(m.left, m.right, {static_cast<std::uint32_t>(rank), ordinary(m.result)});
    }
}

QWEN3VL_SUPPORT std::vector<int> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
    if (text.size() > longest_text)
        throw TokenizerError("a text of " + std::to_string(text.size()) + " bytes: at most " +
                             std::to_string(longest_text) + " are tokenised");
    Encoding work(*this);
    const std::string whole = repair_utf8(text);
    if (!options.parse_special) {
        split(normalise_ ? Nfc::normalise(whole) : whole, 0, work);
        return std::move(work.ids);
    }
    for_each_part(raw_tokens_, whole, [&](std::string_view part, std::optional<int> token) {
        if (token) return work.ids.push_back(*token);
        for_each_part(normalised_tokens_, normalise_ ? Nfc::normalise(part) : std::string(part),
                      [&](std::string_view piece, std::optional<int> inner) {
                          if (inner) return work.ids.push_back(*inner);
                          split(piece, 0, work);
                      });
    });
    return std::move(work.ids);
}

#endif

}  // namespace qwen3vl::tokenizer
