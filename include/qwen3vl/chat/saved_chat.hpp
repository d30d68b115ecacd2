#pragma once
#include <cstring>
#include <limits>
#include <qwen3vl/chat/media.hpp>
#include <qwen3vl/chat/message.hpp>
#include <qwen3vl/session/prompt.hpp>
#include <qwen3vl/token_reduction/tokens.hpp>
#include <span>
#include <string>
#include <vector>

/// Format of the bytes that a chat adds to its session's file: numbers of 8 bytes, and texts behind their lengths. At
/// the end stand the features of the conversation's pictures and clips as float32. Where a later version hashes pixels
/// differently, keys from older files match nothing and pictures are encoded again.
namespace qwen3vl::inline QWEN3VL_ABI::detail {

/// Transcript of a conversation: all that a prompt's tokens depend on.
struct Transcript : chat::Conversation {
    bool add_vision_id = false;        ///< as FormatOptions::add_vision_id
    std::vector<MediaExtent> extents;  ///< one for each picture or clip of the messages, in order
};

/// State of a chat beside its session and its options of answering.
struct ChatState : Transcript {
    std::string system;               ///< the message that a cleared conversation begins with
    std::vector<EncodedMedia> media;  ///< one for each of the extents
};

/// Writes a state of a chat whose model has this token-reduction policy into pieces. The features are not copied: the
/// state outlives it.
template <class Reduction>
class ChatStateWriter {
  public:
    /// `spelling`: a hash of the conversation's tokens, as ChatStateReader::spelling() returns it.
    ChatStateWriter(const ChatState& s, std::uint64_t spelling) {
        number(spelling);
        text(s.system);
        number(s.add_vision_id);
        list(s.tools, [&](const std::string& tool) { text(tool); });
        list(s.messages, [&](const chat::Message& m) { message(m); });
        for (std::size_t i = 0; i < s.media.size(); ++i) {  // as many as messages have
            key(s.media[i].key);
            for (const double time : s.extents[i].times) bits(time);
            if constexpr (token_reduction::LeavesFewer<Reduction>)
                list(s.media[i].features->places, [&](const std::array<int, 2>& place) {
                    for (const int at : place) number(static_cast<std::uint64_t>(at));
                });
        }
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

/// Reads a state for a model of these Dims and policies. Nothing is allocated before the bytes are
/// known to hold it.
template <class D, class P>
class ChatStateReader {
    using Reduction = typename P::Text::TokenReduction;
    using Fusion = typename P::Fusion;

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
        if constexpr (VisionLanguageDims<D>)
            for (std::size_t i = 0; i < state_.media.size(); ++i)
                state_.media[i].features = features(state_.media[i].key.grid, std::move(places_[i]));
        if (!rest_.empty()) fail(std::to_string(rest_.size()) + " bytes too many");
    }
    /// Spelling that the writer was given, to compare: equal where the conversation has the same tokens here.
    std::uint64_t spelling() const { return spelling_; }
    ChatState& state() { return state_; }

  private:
    static constexpr std::uint64_t any = std::numeric_limits<std::uint64_t>::max();

    [[noreturn]] static void fail(const std::string& what) { throw LoadError("damaged: " + what); }
    void read(void* out, std::size_t bytes) {
        if (bytes > rest_.size())
            fail(std::to_string(bytes) + " bytes expected at the end of the chat, found " +
                 std::to_string(rest_.size()));
        if (bytes > 0) std::memcpy(out, rest_.data(), bytes);
        rest_ = rest_.subspan(bytes);
    }
    std::uint64_t number(std::uint64_t least = 0, std::uint64_t most = any) {
        std::uint64_t value = 0;
        read(&value, sizeof value);
        if (value < least || value > most)
            fail("expected a number from " + std::to_string(least) + " to " + std::to_string(most) + ", found " +
                 std::to_string(value));
        return value;
    }
    std::string text() {
        std::string s(number(0, rest_.size()), '\0');
        read(s.data(), s.size());
        return s;
    }
    /// Calls each() as often as the next number says, for things of at least `bytes` bytes.
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
            std::uint64_t left = std::numeric_limits<int>::max();  // of patches
            if constexpr (!token_reduction::LeavesFewer<Reduction>)
                left = std::min<std::uint64_t>(tokens * merge * merge, left);
            for (int* extent : {&k.grid.t, &k.grid.h, &k.grid.w}) {
                const std::uint64_t n = number(1, left);
                left /= n;
                *extent = static_cast<int>(n);
            }
            if (k.grid.h % D::vision.merge || k.grid.w % D::vision.merge)
                fail("a picture's rows and columns must be multiples of " + std::to_string(merge));
            return k;
        } else {
            fail("a picture, and the model has no vision tower");
        }
    }
    void extent(bool clip) {
        if constexpr (VisionLanguageDims<D>) {
            const FeatureCache::Key k = key(rest_.size() / token_bytes());
            if (!clip && k.grid.t != 1) fail("a picture of " + std::to_string(k.grid.t) + " frame pairs");
            const std::int64_t tokens = token_reduction::tokens_of<Reduction>(k.grid, D::vision.merge);
            const std::int64_t most = static_cast<std::int64_t>(rest_.size() / token_bytes()) / k.grid.t;
            if (tokens < 1 || tokens > most)
                fail("a picture or frame pair of " + std::to_string(tokens) + " tokens; " + std::to_string(most) +
                     " are there");
            MediaExtent e{clip, fusion::pads_of<Fusion>(tokens), {}};
            for (int pair = 0; clip && pair < k.grid.t; ++pair) read(&e.times.emplace_back(), sizeof(double));
            state_.extents.push_back(std::move(e));
            state_.media.push_back({k, nullptr});
            places_.push_back(places(k.grid, tokens));
        } else {
            fail("a picture, and the model has no vision tower");
        }
    }
    /// Places of the tokens of a picture or clip, `tokens` to a frame pair; none where all merged patches are left.
    std::vector<std::array<int, 2>> places(const Grid& grid, std::int64_t tokens) requires VisionLanguageDims<D> {
        std::vector<std::array<int, 2>> out;
        if constexpr (token_reduction::LeavesFewer<Reduction>) {
            const int rows = grid.h / D::vision.merge, columns = grid.w / D::vision.merge;
            const auto all = static_cast<std::uint64_t>(tokens * grid.t);
            const std::uint64_t n = number(0, std::min<std::uint64_t>(all, rest_.size() / (2 * sizeof(std::uint64_t))));
            if (n != all && (n > 0 || tokens != std::int64_t{rows} * columns))
                fail(std::to_string(n) + " places of a picture's " + std::to_string(all) + " tokens");
            for (std::uint64_t i = 0; i < n; ++i) {
                const auto row = static_cast<int>(number(0, static_cast<std::uint64_t>(rows) - 1));
                out.push_back({row, static_cast<int>(number(0, static_cast<std::uint64_t>(columns) - 1))});
            }
        }
        return out;
    }
    /// Bytes of a token's features.
    static constexpr std::size_t token_bytes() requires VisionLanguageDims<D> {
        return sizeof(float) * static_cast<std::size_t>(D::text.hidden) *
               (1 + static_cast<std::size_t>(D::vision.deepstack_count));
    }
    std::shared_ptr<const VisualFeatures> features(const Grid& grid, std::vector<std::array<int, 2>> of_tokens) requires
        VisionLanguageDims<D> {
        auto f = std::make_shared<VisualFeatures>();
        f->places = std::move(of_tokens);
        f->stand_in = fusion::stand_in_of<Fusion>();
        f->grid = grid;
        f->merge = D::vision.merge;
        f->width = D::text.hidden;
        const auto tokens = static_cast<std::size_t>(f->tokens());
        if (tokens > rest_.size() / token_bytes())
            fail("a picture of " + std::to_string(tokens) + " tokens at the end of the file");
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
    std::vector<std::vector<std::array<int, 2>>> places_;  ///< of each picture or clip
};

}  // namespace qwen3vl::detail
