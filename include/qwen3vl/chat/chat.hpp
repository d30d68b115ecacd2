#pragma once
#include <concepts>
#include <initializer_list>
#include <qwen3vl/chat/encode_chat.hpp>
#include <qwen3vl/chat/generate.hpp>
#include <qwen3vl/chat/saved_chat.hpp>
#include <qwen3vl/chat/tool_calls.hpp>
#include <qwen3vl/constrain/constrain.hpp>
#include <type_traits>
#include <utility>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Choice of tools: an answer calls one as the model likes, or always one of ChatOptions::tools, with arguments that
/// satisfy its parameters' schema. A function and no enumeration, so that programs without it do without its code.
class ToolChoice {
  public:
    /// As the model likes.
    ToolChoice() = default;
    /// Always one. An answer then throws GrammarError where there is none, or a schema is not supported.
    static ToolChoice required() {
        return ToolChoice([](std::span<const std::string> tools) { return constrain::tool_call(tools); });
    }
    /// True if a call is required.
    explicit operator bool() const { return call_ != nullptr; }
    /// The grammar of a call of one of these tools, where one is required.
    constrain::Grammar grammar(std::span<const std::string> tools) const { return call_(tools); }

  private:
    using Call = constrain::Grammar (*)(std::span<const std::string>);
    explicit ToolChoice(Call call) : call_(call) {}
    Call call_ = nullptr;
};

/// Options of a Chat. Absent sampling options come from the checkpoint's generation_config.json, and are greedy where
/// that is silent.
struct ChatOptions {
    int max_new_tokens = 512;                                        ///< the answer ends after so many tokens at most
    std::optional<double> temperature = {}, top_p = {}, min_p = {};  ///< as in SamplingOptions
    std::optional<double> repetition_penalty = {}, presence_penalty = {};  ///< as in SamplingOptions
    std::optional<double> frequency_penalty = {};                          ///< as in SamplingOptions
    std::optional<int> top_k = {};                                         ///< as SamplingOptions::top_k
    std::uint64_t seed = 0;                                                ///< the same seed gives the same answers
    std::vector<std::string> stop = {};                                    ///< strings that end an answer
    LoopGuard loop_guard = {};              ///< ends an answer that repeats itself; LoopGuard's defaults
    LogitsProcessor logits_processor = {};  ///< changes the logits before each token is chosen; empty: none
    constrain::Grammar answer = {};       ///< what every answer must be: constrain::json_schema(...); default: anything
    ToolChoice tool_choice = {};          ///< ToolChoice::required(): every answer calls a tool
    int thinking = -1;                    ///< as AnswerOptions::thinking
    int logprobs = -1;                    ///< as GenerationOptions::logprobs
    std::string system = {};              ///< the system message
    std::vector<std::string> tools = {};  ///< functions the model may call, each a JSON object
    bool add_vision_id = false;           ///< "Picture 1: " before pictures
    SessionOptions session = {};     ///< its context holds the whole conversation, and is cut to what the model has
    ProgressCallback progress = {};  ///< stages "image" and "prefill"; returning false cancels
    std::shared_ptr<FeatureCache> feature_cache =
        {};  ///< pictures encoded before, perhaps shared with other chats of the model; by default one of 256 MiB
};

/// An answer, and what it took.
struct Reply : Generation {
    std::vector<chat::ToolCall> tool_calls;          ///< calls that the answer's text holds
    std::int64_t prompt_tokens = 0;                  ///< tokens of the whole conversation before the answer
    std::int64_t reused_tokens = 0;                  ///< prompt tokens found in the session's cache, or in its pool
    std::int64_t fuller_pictures = 0;                ///< of the conversation, by the fuller policy of fusion::Dynamic
    double encode_seconds = 0, prefill_seconds = 0;  ///< of the vision tower; of the prompt's tokens
};

/// A conversation with pictures and clips, in the chat format of Qwen3-VL-Instruct, over one Session. Used by one
/// thread at a time; the model outlives it.
///
///     q::Chat chat(model, {.max_new_tokens = 256});
///     auto print = [](std::string_view text) { std::cout << text; };
///     auto reply = chat.ask({q::Image::open("street.jpg"), "What does the sign say?"}, print);
template <class M>
class Chat {
  public:
    /// Throws PromptError where the model was loaded without a tokenizer, and as Session.
    template <std::same_as<ChatOptions> Options = ChatOptions>
    explicit Chat(const M& model, Options options = {}) : Chat(model, nullptr, std::move(options)) {
        static_assert(!Session<M>::can_share,
                      "qwen3vl: slot kv_cache: Paged keeps tokens in a pool that chats share; make a PagePool of the "
                      "model, and Chat(pool)");
    }
    /// A chat on a pool, for Paged caches: a prefix that chats on the pool share (system message, tools, pictures) is
    /// computed once. Shared ChatOptions::feature_cache keeps pictures from being encoded again.
    explicit Chat(PagePool<M>& pool, ChatOptions options = {}) : Chat(pool.model(), &pool, std::move(options)) {}
    explicit Chat(M&&, ChatOptions = {}) = delete;

    /// Says something and gets the answer; both become part of the conversation. `callback` gets the text as it comes,
    /// and may return false to end the answer. Throws PromptError, ImageError, FileError, ContextOverflow,
    /// PoolExhausted, Cancelled, GrammarError; the conversation is then as before.
    Reply ask(const std::vector<Input>& content, const TextCallback& callback = {}) {
        return say(chat::Role::user, content, callback);
    }
    /// Asks with content in braces: `chat.ask({picture, "What is it?"})`.
    Reply ask(std::initializer_list<Input> content, const TextCallback& callback = {}) {
        return ask(std::vector<Input>(content), callback);
    }
    /// Asks with text alone.
    Reply ask(const char* text, const TextCallback& callback = {}) { return ask(std::vector<Input>{text}, callback); }
    /// Asks with a callback that returns nothing.
    template <class F>
    requires std::is_void_v<std::invoke_result_t<F&, std::string_view>> Reply ask(std::initializer_list<Input> content,
                                                                                  F&& callback) {
        return ask(std::vector<Input>(content), [&](std::string_view text) {
            callback(text);
            return true;
        });
    }
    /// Gives the result of a tool call, and gets the answer to it.
    Reply tool_result(const std::string& result, const TextCallback& callback = {}) {
        return say(chat::Role::tool, {result}, callback);
    }

    /// Says what the next answers must be; a default Grammar: anything.
    void set_answer(constrain::Grammar answer) { options_.answer = std::move(answer); }

    /// Tokens that the conversation would have with `content` said next, without the answer. Decodes no pixels; a
    /// picture's size may stand for it.
    std::int64_t token_count(const std::vector<Input>& content) const;

    /// The messages so far, oldest first; the system message, if there is one, is the first.
    const std::vector<chat::Message>& messages() const { return state_.messages; }
    /// Forgets everything but the system message.
    void clear() {
        state_.messages.clear();
        state_.extents.clear();
        state_.media.clear();
        if (!state_.system.empty())
            state_.messages.push_back(message(chat::Role::system, {state_.system}, state_.extents));
    }

    /// Writes the conversation to a file: messages, system message, tools, and all that the session holds. Pictures and
    /// clips are saved as their float32 features, which a cache that cannot rewind needs again, not as pixels. The
    /// ChatOptions of answering are not saved; an answer's random numbers begin at the seed, so none are kept. A file
    /// that was there stays until the new one is complete. Throws FileError, and PromptError for tools that are no
    /// JSON.
    void save(const std::string& path);

    /// Restores a conversation that a chat of the same checkpoint and policies saved, perhaps in another process and
    /// with other threads or context. Under the same ChatOptions of answering, the next answers are the same. System
    /// message, tools and add_vision_id become the saved ones. Its pictures are known to this chat, not to its
    /// feature_cache(), which others may share. Throws FileError; LoadError where the file is damaged or of another
    /// model, tokenizer or chat template; ContextOverflow where it does not fit. The chat is then as before.
    void restore(const std::string& path);

    /// Pictures encoded so far.
    FeatureCache& feature_cache() { return *cache_; }
    /// The session that holds the conversation's tokens and caches.
    const Session<M>& session() const { return session_; }

  private:
    using Reduction = typename M::policies::Text::TokenReduction;

    Chat(const M& model, PagePool<M>* pool, ChatOptions options);

    static Session<M> session_of(const M& model, [[maybe_unused]] PagePool<M>* pool, const ChatOptions& o) {
        SessionOptions options = o.session;
        options.context = static_cast<int>(std::min<std::int64_t>(options.context, Session<M>::max_context));
        if constexpr (Session<M>::can_share)
            return Session<M>(*pool, options);
        else
            return Session<M>(model, options);
    }
    static std::shared_ptr<const Assets> assets_of(const M& model) {
        if (!model.assets() || !model.assets()->tokenizer)
            throw PromptError((model.assets() ? model.assets()->folder + ": " : std::string()) +
                              "a chat needs a tokenizer: expected tokenizer.json in the checkpoint's folder");
        return model.assets();
    }

    /// A message of these parts; the extents of its pictures and clips are appended.
    chat::Message message(chat::Role role, const std::vector<Input>& content,
                          std::vector<detail::MediaExtent>& extents) const {
        return detail::message_of<M>(role, content, config_, extents);
    }

    /// The tokens of a conversation, up to where an answer begins.
    std::vector<int> tokens_of(const detail::Transcript& said) const {
        chat::FormatOptions format;
        format.add_vision_id = said.add_vision_id;
        return chat::encode_chat(*assets_->tokenizer, said, detail::media_sizes(said.extents), format).ids;
    }
    /// Changes where the tokenizer or the chat template makes other tokens of a conversation. Throws PromptError where
    /// it is malformed.
    std::uint64_t template_hash(detail::Transcript said) const {
        said.messages.emplace_back();  // a next turn: there may be none
        const auto tokens = tokens_of(said);
        return checksum(reinterpret_cast<const std::byte*>(tokens.data()), tokens.size() * sizeof tokens[0]);
    }

    Reply say(chat::Role role, const std::vector<Input>& content, const TextCallback& callback);

    Reply answer(chat::Role role, const std::vector<Input>& content, const TextCallback& callback) {
        using clock = std::chrono::steady_clock;
        const auto seconds = [](clock::time_point from) {
            return std::chrono::duration<double>(clock::now() - from).count();
        };
        auto said = message(role, content, state_.extents);
        state_.messages.push_back(std::move(said));
        auto tokens = tokens_of(state_);
        if (const auto limit = session_.context();
            static_cast<std::int64_t>(tokens.size()) >= limit)  // before any picture is encoded
            throw ContextOverflow("the conversation has " + std::to_string(tokens.size()) +
                                  " tokens, the context of ChatOptions::session is " + std::to_string(limit) + ": " +
                                  std::to_string(std::max<std::int64_t>(0, limit - 1 - session_.length())) +
                                  " more fit before an answer");
        Reply reply;
        auto begin = clock::now();
        if constexpr (VisionLanguageDims<typename M::dims>)
            for (const auto& input : content)
                if (!std::holds_alternative<std::string>(input))
                    state_.media.push_back(detail::features_of(session_.workspace(), input, config_, state_.media,
                                                               *cache_, options_.progress));
        reply.encode_seconds = seconds(begin);
        begin = clock::now();
        reply.prompt_tokens = static_cast<std::int64_t>(tokens.size());
        Prompt prompt{tokens};
        for (const auto& media : state_.media) prompt.visuals.push_back(media.features);
        reply.reused_tokens = session_.resume(prompt, {.progress = options_.progress, .hook = {}, .hidden = nullptr});
        reply.prefill_seconds = seconds(begin);
        reply.fuller_pictures = session_.sequence().fuller_pictures();
        static_cast<Generation&>(reply) =
            generate(session_, *assets_->tokenizer, tokens, generation_options(), callback);
        chat::Message answered;
        answered.role = chat::Role::assistant;
        if (auto text = chat::take_tool_calls(reply.text, answered.tool_calls); !text.empty())
            answered.content.push_back(std::move(text));
        reply.tool_calls = answered.tool_calls;
        state_.messages.push_back(std::move(answered));
        return reply;
    }

    GenerationOptions generation_options() const {
        const auto& defaults = assets_->generation;
        const bool sampled = defaults.do_sample.value_or(false);
        GenerationOptions g;
        g.max_new_tokens = options_.max_new_tokens;
        auto& s = g.sampling;
        s.temperature = options_.temperature.value_or(sampled ? defaults.temperature.value_or(1.0) : 0.0);
        s.top_k = options_.top_k.value_or(sampled ? defaults.top_k.value_or(50) : 0);  // 50: transformers' default
        s.top_p = options_.top_p.value_or(sampled ? defaults.top_p.value_or(1.0) : 1.0);
        s.min_p = options_.min_p.value_or(sampled ? defaults.min_p.value_or(0.0) : 0.0);
        s.repetition_penalty = options_.repetition_penalty.value_or(defaults.repetition_penalty.value_or(1.0));
        s.presence_penalty = options_.presence_penalty.value_or(defaults.presence_penalty.value_or(0.0));
        s.frequency_penalty = options_.frequency_penalty.value_or(0.0);
        s.seed = options_.seed;
        g.stop_tokens = defaults.eos;
        g.stop_strings = options_.stop;
        g.loop_guard = options_.loop_guard;
        g.logits_processor = options_.logits_processor;
        g.logprobs = options_.logprobs;
        g.answer = answer_options();
        return g;
    }

    AnswerOptions answer_options() const {
        AnswerOptions a;
        a.grammar = options_.answer;
        a.thinking = options_.thinking;
        if (options_.tool_choice) {
            a.grammar = options_.tool_choice.grammar(state_.tools);
            a.prefix = "<tool_call>\n";
            a.suffix = "\n</tool_call>";
        }
        a.vocabulary = &assets_->token_trie;
        return a;
    }

    ChatOptions options_;
    std::shared_ptr<const Assets> assets_;
    Session<M> session_;
    detail::MediaConfig<M> config_;
    std::shared_ptr<FeatureCache> cache_;
    detail::ChatState state_;  ///< also what the options said of the conversation itself
};

// Defined apart from the class for `extern template`, as in session/session.hpp: all that a conversation computes.

template <class M>
Chat<M>::Chat(const M& model, PagePool<M>* pool, ChatOptions options)
    : options_(std::move(options)),
      assets_(assets_of(model)),
      session_(session_of(model, pool, options_)),
      config_(model, *assets_),
      cache_(options_.feature_cache ? options_.feature_cache
                                    : std::make_shared<FeatureCache>(std::int64_t{256} << 20)) {
    state_.tools = std::exchange(options_.tools, {});
    state_.system = std::exchange(options_.system, {});
    state_.add_vision_id = options_.add_vision_id;
    clear();
}

template <class M>
std::int64_t Chat<M>::token_count(const std::vector<Input>& content) const {
    detail::Transcript said = state_;
    said.messages.push_back(message(chat::Role::user, content, said.extents));
    return static_cast<std::int64_t>(tokens_of(said).size());
}

template <class M>
void Chat<M>::save(const std::string& path) {
    session_.save(path, detail::ChatStateWriter<Reduction>(state_, template_hash(state_)).pieces());
}

template <class M>
void Chat<M>::restore(const std::string& path) {
    detail::ChatState restored;
    session_.restore(path, [&](std::span<const std::byte> bytes) {
        try {
            if (bytes.empty()) throw LoadError("saved by a session, not by a chat");
            detail::ChatStateReader<typename M::dims, typename M::policies> reader(bytes);
            if (template_hash(reader.state()) != reader.spelling())
                throw LoadError("saved with another tokenizer or chat template");
            restored = std::move(reader.state());
        } catch (const Error& e) {
            throw LoadError(path + ": " + e.what());
        }
    });
    state_ = std::move(restored);
}

template <class M>
Reply Chat<M>::say(chat::Role role, const std::vector<Input>& content, const TextCallback& callback) {
    const std::size_t messages = state_.messages.size(), media = state_.extents.size();
    try {
        return answer(role, content, callback);
    } catch (...) {
        state_.messages.resize(messages);
        state_.extents.resize(media);
        state_.media.resize(media);
        throw;
    }
}

/// Returns the text of one answer about one picture.
template <class M>
std::string process_multimodal_request(const M& model, const std::string& text, const Image& image,
                                       const ChatOptions& options = {}) {
    return Chat<M>(model, options).ask({image, text}).text;
}
/// Returns the text of one answer about a picture in a file (JPEG, PNG or WebP).
template <class M>
std::string generate_multimodal_response(const M& model, const std::string& image_path, const std::string& prompt,
                                         const ChatOptions& options = {}) {
    return process_multimodal_request(model, prompt, Image::open(image_path), options);
}

}  // namespace qwen3vl
