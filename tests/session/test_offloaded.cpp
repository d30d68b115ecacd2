#include "failing_disk.hpp"
#include "prompts.hpp"

using namespace qwen3vl_test;

namespace offloaded_test {

/// More layers than frames, so that nothing is found there from the token before.
struct D : models::Tiny {
    static constexpr TextDims text = [] {
        TextDims d = models::Tiny::text;
        d.layers = 9;
        return d;
    }();
};
using Contiguous = kv_cache::Contiguous<kv_cache::Bf16>;
using Offloaded = kv_cache::Offloaded<Contiguous, Tokens{64}>;  // two tiles stay in memory

template <class Cache, class Attention = attention::Flash<>>
using With = Model<
    D, Policies<Choice<slot::text, TextPolicies<Choice<slot::attention, Attention>, Choice<slot::kv_cache, Cache>>>>>;
using M = With<Offloaded>;

SessionOptions on(const TemporaryFolder& folder, int chunk = 100, int threads = 3) {
    return {.context = 600, .chunk = chunk, .threads = threads, .offload_folder = folder.path()};
}

std::string refusal(const M& model, const std::string& folder) {
    return message_of<FileError>([&] { Session<M>(model, {.context = 600, .offload_folder = folder}); });
}

TEST_CASE("what is on disk comes back with the bits it had in memory, in any layer of a plan") {
    const With<Contiguous> inner = testing::synthetic_model<With<Contiguous>>();
    const M model = testing::synthetic_model<M>();
    using Mixed = With<Layers<Pattern<Contiguous, Offloaded, kv_cache::Offloaded<kv_cache::Contiguous<>, Tokens{1}>>>>;
    const Mixed mixed = testing::synthetic_model<Mixed>();
    const TemporaryFolder folder;
    const auto conversation = [&](auto& session) {
        session.append(picture_prompt<D>(session, {{1, 6, 8}}, 350));
        for (const int token : words(100, 7)) session.append(token);
        auto logits = logits_of(session);
        session.rewind(330);  // the tiles before it are on disk
        session.append({words(20, 8), {}});
        session.rewind(200);
        session.append({words(150, 9), {}});
        const auto more = logits_of(session);
        logits.insert(logits.end(), more.begin(), more.end());
        return logits;
    };
    Session<With<Contiguous>> expecting(inner, {.context = 600, .threads = 1});
    const auto expected = conversation(expecting);
    for (const int chunk : {1, 64, 512}) {
        Session<M> session(model, on(folder, chunk));
        CHECK(testing::same_bits(conversation(session), expected));
        Session<Mixed> planned(mixed, on(folder, chunk));
        CHECK(testing::same_bits(conversation(planned), expected));
    }
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("the plan tells the room on disk, and memory does not grow with the context") {
    const auto kv = [](int context) {
        std::int64_t bytes = 0;
        for (const auto& part : M::memory_plan({.context = context, .threads = 1}).parts)
            if (part.name.rfind("kv_cache", 0) == 0) bytes += part.bytes;
        return bytes;
    };
    CHECK(kv(4096) == kv(2048));
    // two tiles of each layer in memory, the rest on disk
    CHECK(M::memory_plan({.context = 4096}).disk ==
          D::text.layers * (64 - 2) * D::text.kv_heads * Contiguous::codec::tile_bytes(D::text.head_dim));
    CHECK(M::memory_plan({.context = 128}).disk == 0);
    CHECK(With<Contiguous>::memory_plan({.context = 4096}).disk == 0);
    const M model = testing::synthetic_model<M>();
    Session<M> session(model, {.context = 128, .threads = 1});  // needs no folder
    session.append({words(128), {}});
    CHECK(session.length() == 128);
}

TEST_CASE("a file that cannot be made is named, and why") {
    const M model = testing::synthetic_model<M>();
    const TemporaryFolder folder;
    CHECK_THAT(refusal(model, ""), contains("SessionOptions::offload_folder: expected a folder"));
    CHECK_THAT(refusal(model, folder.file("none")), contains(folder.file("none")) && contains("No such file"));
    CHECK_THAT(refusal(model, folder.write("file", "x")), contains("Not a directory"));
    const FileLimit limit(4096);
    CHECK_THAT(refusal(model, folder.path()), contains(folder.path()) && contains("no room: File too large"));
}

TEST_CASE("a disk that fails loses nothing: the session is as before the call, and goes on when the disk does") {
    const M model = testing::synthetic_model<M>();
    const TemporaryFolder folder, states;
    const std::string other = states.write("other", std::string(2 << 20, 'x'));
    const Prompt first{words(300), {}}, second{words(120, 3), {}};
    Session<M> session(model, on(folder));
    session.append(first);
    const auto before = logits_of(session);
    const auto going_on = [&] {
        auto logits = logits_along(session, second, words(70, 4));
        session.rewind(300);
        return logits;
    };
    const auto expected = going_on();
    session.append(first.tokens[0]);  // logits again
    const auto after_one = logits_of(session);
    const int disk = descriptor_of(folder);
    const auto unharmed = [&](auto&& broken, const std::string& why) {
        std::int64_t length = session.length();
        CHECK_THAT(message_of<FileError>([&] { broken(length); }), contains(folder.path()) && contains(why));
        CHECK(session.length() == length);
        session.rewind(301);
    };
    for (int round = 0; round < 3; ++round) {
        {
            const BrokenDisk no_read(disk, "/dev/null", O_RDWR);
            unharmed([&](std::int64_t&) { session.append(5); }, "found 0 bytes: the file was cut");
        }
        {
            const BrokenDisk no_read(disk, "/dev/null", O_RDWR);
            unharmed([&](std::int64_t&) { session.append(second); }, "found 0 bytes: the file was cut");
        }
        {
            const BrokenDisk no_read(disk, other.c_str(), O_WRONLY);
            unharmed([&](std::int64_t&) { session.append(second); }, "cannot read at byte");
        }
        {
            const BrokenDisk no_read(disk, other.c_str(), O_WRONLY);
            unharmed([&](std::int64_t&) { session.save(states.file("state")); }, "cannot read at byte");
        }
        {
            const FileLimit no_write(0);
            unharmed([&](std::int64_t&) { session.append({words(299, 6), {}}); }, "cannot write");
        }
        {
            const FileLimit no_write(0);
            unharmed(
                [&](std::int64_t& length) {
                    for (const int token : words(200, 6)) {
                        session.append(token);
                        ++length;
                    }
                },
                "cannot write");
        }
    }
    session.rewind(300);
    CHECK(testing::same_bits(going_on(), expected));
    session.append(first.tokens[0]);
    CHECK(testing::same_bits(logits_of(session), after_one));
    session.reset();
    session.append(first);
    CHECK(testing::same_bits(logits_of(session), before));
}

TEST_CASE("a file cut behind the session's back is an error, and the session stays as it was") {
    const M model = testing::synthetic_model<M>();
    const TemporaryFolder folder;
    for (const int threads : {1, 3}) {
        Session<M> session(model, on(folder, 100, threads));
        session.append({words(400), {}});
        const auto expected = logits_of(session);
        const std::string path = "/proc/self/fd/" + std::to_string(descriptor_of(folder));
        REQUIRE(::truncate(path.c_str(), 5000) == 0);
        CHECK_THROWS_AS(session.save(folder.file("state")), FileError);
        CHECK_THROWS_AS(session.append(7), FileError);
        CHECK(testing::same_bits(logits_of(session), expected));
        CHECK_THAT(message_of<FileError>([&] {
                       session.append({words(100), {}});
                   }),
                   contains(folder.path()) && contains("found 5000 bytes: the file was cut"));
        CHECK(session.length() == 400);
        session.reset();
        session.append({words(100), {}});  // needs no disk
        CHECK(session.length() == 100);
    }
}

TEST_CASE("a disk that fails while a state is restored leaves the session empty") {
    const M model = testing::synthetic_model<M>();
    const TemporaryFolder folder, states;
    Session<M> session(model, on(folder));
    session.append({words(400), {}});
    const auto expected = logits_of(session);
    session.save(states.file("state"));
    {
        const FileLimit no_write(0);
        CHECK_THAT(message_of<FileError>([&] { session.restore(states.file("state")); }), contains("cannot write"));
    }
    CHECK(session.length() == 0);
    CHECK_THROWS_AS(session.logits(), PromptError);
    session.restore(states.file("state"));
    CHECK(testing::same_bits(logits_of(session), expected));
}

TEST_CASE("a session with a cache that cannot go back is empty when the disk has failed") {
    using Near = attention::Flash<mask::SlidingWindow<Window{.tokens = 40, .sinks = 3}>>;
    using Mixed = With<Layers<Pattern<kv_cache::Ring<Tokens{128}>, Offloaded>>, Near>;
    const Mixed model = testing::synthetic_model<Mixed>();
    const TemporaryFolder folder;
    Session<Mixed> session(model, on(folder));
    session.append({words(120), {}});
    const FileLimit no_write(0);
    CHECK_THAT(message_of<FileError>([&] {
                   for (const int token : words(200, 5)) session.append(token);
               }),
               contains("cannot write"));
    CHECK(session.length() == 0);
}

}  // namespace offloaded_test
