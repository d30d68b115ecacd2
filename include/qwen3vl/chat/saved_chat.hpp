#pragma once
#include <cstring>
#include <limits>
#include <qwen3vl/chat/media.hpp>
#include <qwen3vl/chat/message.hpp>
#include <qwen3vl/model/positions.hpp>
#include <span>
#include <string>
#include <vector>

/// What a chat adds to its session's file: numbers of 8 bytes, texts behind their lengths, and at the end the features of the conversation's pictures and
/// clips as float32. Where a later version hashes pixels differently, keys from older files match nothing and pictures are encoded again.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// All that a prompt's tokens depend on.
struct SaidSoFar : chat::Conversation {
    bool add_vision_id = false;        ///< as FormatOptions::add_vision_id
    std::vector<MediaExtent> extents;  ///< of the pictures and clips of the messages, in order
};

/// What a chat knows beside its session and how it shall answer.
struct ChatState : SaidSoFar {
    std::string system;                    ///< the message that a cleared conversation begins with
    std::vector<EncodedMedia> media;       ///< as extents
    std::vector<int> held;                 ///< the session's tokens
    std::vector<FeatureCache::Key> shown;  ///< of the session's pictures and clips
};

/// Writes a state into pieces. The features are not copied: the state outlives it.
class ChatStateWriter {
  public:
    /// `spelling`: as read_chat_state returns it.
    ChatStateWriter(const ChatState& s, std::uint64_t spelling) {
        number(spelling);
        text(s.system);
        number(s.add_vision_id);
        list(s.tools, [&](const std::string& tool) { text(tool); });
        list(s.messages, [&](const chat::Message& m) { message(m); });
        for (std::size_t i = 0; i < s.media.size(); ++i) {  // as many as messages have
            key(s.media[i].key);
            for (const double time : s.extents[i].times) bits(time);
        }
        list(s.held, [&](int token) { number(static_cast<std::uint64_t>(token)); });
        list(s.shown, [&](const FeatureCache::Key& k) { key(k); });
        pieces_.push_back(fields_);
        for (const auto& media : s.media) {
            pieces_.push_back(std::as_bytes(std::span(media.features->embedding)));
            for (const auto& level : media.features->deepstack) pieces_.push_back(std::as_bytes(std::span(level)));
        }
    }
    ChatStateWriter(const ChatStateWriter&) = delete;
    ChatStateWriter& operator=(const ChatStateWriter&) = delete;
    std::span<const std::span<const std::byte>> pieces() const { return pieces_; }

  private:
    void write(std::span<const std::byte> bytes) { fields_.insert(fields_.end(), bytes.begin(), bytes.end()); }
    template <class T>
    void bits(T value) {
        static_assert(sizeof value == 8);
        write(std::as_bytes(std::span(&value, 1)));
    }
    void number(std::uint64_t value) { bits(value); }
    void text(const std::string& s) {
        number(s.size());
        write(std::as_bytes(std::span(s)));
    }
    template <class T, class F>
    void list(const std::vector<T>& values, F&& each) {
        number(values.size());
        for (const T& v : values) each(v);
    }
    void message(const chat::Message& m) {
        number(static_cast<std::uint64_t>(m.role));
        list(m.content, [&](const chat::Part& part) {
            number(part.index());
            if (const auto* words = std::get_if<std::string>(&part)) text(*words);
        });
        list(m.tool_calls, [&](const chat::ToolCall& call) {
            text(call.name);
            text(call.arguments);
        });
    }
    void key(const FeatureCache::Key& k) {
        for (const std::uint64_t part : k.content) number(part);
        number(k.preprocessing);
        for (const int extent : {k.grid.t, k.grid.h, k.grid.w}) number(static_cast<std::uint64_t>(extent));
    }

    std::vector<std::byte> fields_;
    std::vector<std::span<const std::byte>> pieces_;
};

/// Reads one for a model of these Dims. Nothing is allocated before the bytes are known to hold it.
template <class D>
class ChatStateReader {
  public:
    /// Throws LoadError, without the file's name, where the bytes are no state that a chat of such a model can have.
    explicit ChatStateReader(std::span<const std::byte> bytes) : rest_(bytes) {
        spelling_ = number();
        state_.system = text();
        state_.add_vision_id = number(0, 1) != 0;
        list(8, [&] { state_.tools.push_back(text()); });
        list(24, [&] { state_.messages.push_back(message()); });
        for (const auto& m : state_.messages)
            for (const chat::Part& part : m.content)
                if (!std::holds_alternative<std::string>(part)) extent(std::holds_alternative<chat::VideoPart>(part));
        list(8, [&] { state_.held.push_back(static_cast<int>(number(0, static_cast<std::uint64_t>(D::text.vocab) - 1))); });
        list(48, [&] { state_.shown.push_back(key(state_.held.size())); });
        if constexpr (VisionLanguageDims<D>)
            for (auto& media : state_.media) media.features = features(media.key.grid);
        if (!rest_.empty()) fail(std::to_string(rest_.size()) + " bytes too many");
    }
    /// What the writer was given: tells whether the conversation is spelled with the same tokens here.
    std::uint64_t spelling() const { return spelling_; }
    ChatState& state() { return state_; }

    /// Throws LoadError unless a session that holds the state's tokens has these positions.
    void require_positions(std::span<const std::int64_t> positions) const {
        if (positions.size() != state_.held.size() + 1) fail(std::to_string(state_.held.size()) + " tokens of a session that has another number");
        std::vector<VisualGrid> grids;
        std::optional<TokenIds> ids;
        std::int64_t pads = 0;
        if constexpr (VisionLanguageDims<D>) {
            ids = D::tokens;
            for (const auto& k : state_.shown) {
                grids.push_back({k.grid, D::vision.merge});
                pads += k.grid.merged(D::vision.merge);
            }
        }
        std::size_t end = 0;  // of the last picture; a pad behind it is a word of the answer
        for (; pads > 0 && end < state_.held.size(); ++end) pads -= ids && (state_.held[end] == ids->image || state_.held[end] == ids->video);
        auto after = lay_out(std::span(state_.held).first(end), grids, ids, 0).after;
        while (after.size() < state_.held.size()) after.push_back(after.empty() ? 1 : after.back() + 1);
        if (!std::equal(after.begin(), after.end(), positions.begin() + 1)) fail("the session's positions are not those of its pictures");
    }

  private:
    static constexpr std::uint64_t any = std::numeric_limits<std::uint64_t>::max();

    [[noreturn]] static void fail(const std::string& what) { throw LoadError("damaged: " + what); }
    void read(void* out, std::size_t bytes) {
        if (bytes > rest_.size()) fail(std::to_string(bytes) + " bytes expected at the end of the chat, found " + std::to_string(rest_.size()));
        if (bytes > 0) std::memcpy(out, rest_.data(), bytes);
        rest_ = rest_.subspan(bytes);
    }
    std::uint64_t number(std::uint64_t least = 0, std::uint64_t most = any) {
        std::uint64_t value = 0;
        read(&value, sizeof value);
        if (value < least || value > most)
            fail("expected a number from " + std::to_string(least) + " to " + std::to_string(most) + ", found " + std::to_string(value));
        return value;
    }
    std::string text() {
        std::string s(number(0, rest_.size()), '\0');
        read(s.data(), s.size());
        return s;
    }
    /// As many times as a number says, of things that take at least so many bytes.
    template <class F>
    void list(std::size_t bytes, F&& each) {
        for (std::uint64_t n = number(0, rest_.size() / bytes); n > 0; --n) each();
    }
    chat::Message message() {
        chat::Message m;
        m.role = static_cast<chat::Role>(number(0, static_cast<std::uint64_t>(chat::Role::tool)));
        list(8, [&] {
            const std::uint64_t kind = number(0, std::variant_size_v<chat::Part> - 1);
            if (kind == chat::Part(chat::ImagePart{}).index())
                m.content.emplace_back(chat::ImagePart{});
            else if (kind == chat::Part(chat::VideoPart{}).index())
                m.content.emplace_back(chat::VideoPart{});
            else
                m.content.emplace_back(text());
        });
        list(16, [&] {
            std::string name = text();
            m.tool_calls.push_back({std::move(name), text()});
        });
        return m;
    }
    /// The key of a picture or clip of at most so many tokens.
    FeatureCache::Key key(std::size_t tokens) {
        if constexpr (VisionLanguageDims<D>) {
            constexpr std::uint64_t merge = D::vision.merge;
            FeatureCache::Key k;
            for (std::uint64_t& part : k.content) part = number();
            k.preprocessing = number();
            std::uint64_t left = std::min<std::uint64_t>(tokens * merge * merge, std::numeric_limits<int>::max());
            for (int* extent : {&k.grid.t, &k.grid.h, &k.grid.w}) {
                const std::uint64_t n = number(1, left);
                left /= n;
                *extent = static_cast<int>(n);
            }
            if (k.grid.h % D::vision.merge || k.grid.w % D::vision.merge) fail("a picture's rows and columns must be multiples of " + std::to_string(merge));
            return k;
        } else {
            fail("a picture, and the model has no vision tower");
        }
    }
    void extent(bool clip) {
        if constexpr (VisionLanguageDims<D>) {
            const FeatureCache::Key k = key(rest_.size() / token_bytes());
            if (!clip && k.grid.t != 1) fail("a picture of " + std::to_string(k.grid.t) + " frame pairs");
            MediaExtent e{clip, k.grid.merged(D::vision.merge) / k.grid.t, {}};
            for (int pair = 0; clip && pair < k.grid.t; ++pair) read(&e.times.emplace_back(), sizeof(double));
            state_.extents.push_back(std::move(e));
            state_.media.push_back({k, nullptr});
        } else {
            fail("a picture, and the model has no vision tower");
        }
    }
    /// Bytes of a token's features.
    static constexpr std::size_t token_bytes() requires VisionLanguageDims<D> {
        return sizeof(float) * static_cast<std::size_t>(D::text.hidden) * (1 + static_cast<std::size_t>(D::vision.deepstack_count));
    }
    std::shared_ptr<const VisualFeatures> features(const Grid& grid) requires VisionLanguageDims<D> {
        auto f = std::make_shared<VisualFeatures>();
        f->grid = grid;
        f->merge = D::vision.merge;
        f->width = D::text.hidden;
        const auto tokens = static_cast<std::size_t>(f->tokens());
        if (tokens > rest_.size() / token_bytes()) fail("a picture of " + std::to_string(tokens) + " tokens at the end of the file");
        f->deepstack.resize(static_cast<std::size_t>(D::vision.deepstack_count));
        const auto values = [&](std::vector<float>& v) {
            v.resize(tokens * static_cast<std::size_t>(D::text.hidden));
            read(v.data(), v.size() * sizeof(float));
        };
        values(f->embedding);
        for (auto& level : f->deepstack) values(level);
        return f;
    }

    std::span<const std::byte> rest_;
    std::uint64_t spelling_ = 0;
    ChatState state_;
};

}  // namespace qwen3vl::detail
