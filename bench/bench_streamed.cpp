// bench_streamed: a model whose weights stay on the disk (weights::Streamed), beside the disk's sequential reads of the
// same file in the same minutes, and beside the model with all weights in memory. Reads go past the cache of pages
// (core/uncached_file.hpp), so that it feeds neither side.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <qwen3vl/core/uncached_file.hpp>
#include <qwen3vl/model/load.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/sources.hpp>
#include "json_file.hpp"
#include "limits.hpp"
#include "with_dims.hpp"

namespace {
namespace q = qwen3vl;
using json = nlohmann::ordered_json;

struct Options {
    std::string dims = "Qwen3VL_2B", format = "bf16", model, packed, json_file;
    int threads = 0, rounds = 8, tokens = 2, picture = 512;
    bool alone = false;
};

/// Resident memory in bytes as the system counts it. `field`: "VmHWM:" (the peak), "RssAnon:", …
std::int64_t resident(std::string_view field) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(field)) return std::stoll(line.substr(field.size())) * 1024;
    throw q::FileError("/proc/self/status: expected a field " + std::string(field) + ", found none");
}
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

/// Bytes and the seconds that they took.
struct Reads {
    double bytes = 0, seconds = 0;
    double rate() const { return bytes / seconds; }
    Reads& operator+=(const Reads& o) {
        bytes += o.bytes;
        seconds += o.seconds;
        return *this;
    }
};

/// The packed file from its beginning, `bytes` of it, again from there where it is shorter: reads of 4 MiB, one after
/// the other, into huge pages. `room`: the memory that they go to in turns. 4 MiB stay in the processor's caches, which
/// a program without use for the bytes can do with; as much as the window has is what they need where they are to be
/// used.
Reads read_sequentially(const std::string& path, double bytes, std::int64_t room) {
    constexpr std::int64_t piece = std::int64_t{4} << 20;
    const q::UncachedFile file(path);
    room = q::round_up(room, piece);
    q::memory::Pages memory(room + piece);
    memory.advise(MADV_HUGEPAGE);
    std::byte* const to = memory.data() + (piece - reinterpret_cast<std::uintptr_t>(memory.data()) % piece) % piece;
    std::fill_n(to, room, std::byte{0});
    Reads reads;
    const auto start = bench::Clock::now();
    for (std::int64_t at = 0; reads.bytes < bytes; at = at + piece < file.size() ? at + piece : 0) {
        const std::int64_t n = std::min(piece, file.size() - at);
        file.read(at, n, to + at % room);
        reads.bytes += static_cast<double>(n);
    }
    reads.seconds = bench::seconds_since(start);
    return reads;
}

/// The one file of a folder for packed weights.
std::string packed_file(const std::string& folder) {
    std::string path;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        if (entry.path().extension() == ".packed")
            path = path.empty() ? entry.path().string() : throw q::FileError(folder + ": expected one packed file");
    if (path.empty()) throw q::FileError(folder + ": expected a packed file, found none");
    return path;
}

std::vector<int> tokens_of(int count, int seed) {
    return q::testing::synthetic_tokens(static_cast<std::size_t>(count), 400, static_cast<std::uint64_t>(seed));
}

/// A picture, a prompt and then token after token.
template <class M>
class Conversation {
    using D = typename M::dims;

  public:
    Conversation(const M& model, const Options& o)
        : session_(model, {.context = 2048, .chunk = 512, .threads = o.threads, .largest_picture = {}}) {
        q::Prompt prompt{tokens_of(32, 1), {}};
        if constexpr (q::VisionLanguageDims<D>) {
            const int side = o.picture / D::vision.patch / D::vision.merge * D::vision.merge;
            const auto start = bench::Clock::now();
            prompt.visuals.push_back(
                q::encode(session_.workspace(), q::testing::synthetic_patches(D::vision, {1, side, side})));
            picture_ = bench::seconds_since(start);
            prompt.tokens.insert(prompt.tokens.begin() + 8, static_cast<std::size_t>(prompt.visuals[0]->tokens()),
                                 D::tokens.image);
        }
        const auto start = bench::Clock::now();
        session_.append(prompt);
        prefill_ = bench::seconds_since(start);
        sum_ = checksum();
    }
    /// Seconds that `count` tokens take.
    double decode(int count, int seed) {
        const auto start = bench::Clock::now();
        for (const int token : tokens_of(count, seed)) {
            session_.append(token);
            sum_ = checksum();
        }
        return bench::seconds_since(start);
    }
    double picture() const { return picture_; }
    double prefill() const { return prefill_; }
    /// Of all logits so far.
    std::uint64_t sum() const { return sum_; }

  private:
    std::uint64_t checksum() const {
        const auto bytes = std::as_bytes(session_.logits());
        return q::checksum(bytes.data(), bytes.size(), sum_);
    }
    q::Session<M> session_;
    double picture_ = 0, prefill_ = 0;
    std::uint64_t sum_ = 0;
};

q::LoadOptions load_options(const Options& o) { return {.threads = o.threads, .packed = o.packed}; }

template <class D, class Format>
void run_model(const Options& o) {
    using Streamed = q::Model<D, q::PoliciesWithWeights<q::weights::Streamed<Format>>>;
    using Plain = q::Model<D, q::PoliciesWithWeights<Format>>;
    json result = {{"machine", bench::machine()}, {"dims", D::name}, {"format", Format::name}, {"threads", o.threads}};
    std::uint64_t sum = 0;
    double seconds_per_token = 0, bytes_per_token = 0;
    std::int64_t peak = 0;
    Reads decoding, dropped, kept;
    {
        reset_peak();
        auto start = bench::Clock::now();
        const Streamed model = Streamed::load(o.model, load_options(o));
        const double seconds = bench::seconds_since(start);
        const std::int64_t loading = resident("VmHWM:");
        const std::string file = packed_file(o.packed);
        const std::int64_t window =
            q::detail::window_bytes(Streamed::manifest(), q::detail::stream_extents<D, typename Streamed::policies>());
        const bool direct = q::UncachedFile(file).direct();
        std::printf("%s, %d threads, %s\n", bench::machine().c_str(), o.threads,
                    direct ? "reads past the cache" : "the file system has no reads past the cache");
        std::printf("load      %8.2f s, peak %lld MiB\n", seconds, static_cast<long long>(loading >> 20));
        reset_peak();
        Conversation<Streamed> talk(model, o);
        std::printf("picture   %8.2f s, prompt %.2f s\n", talk.picture(), talk.prefill());
        for (int round = 0; round < o.rounds; ++round) {
            std::this_thread::sleep_for(std::chrono::milliseconds(500));  // what is read ahead is there
            const auto before = model.stream_counts();
            Reads work;
            work.seconds = talk.decode(o.tokens, round);
            const auto after = model.stream_counts();
            work.bytes = static_cast<double>(after.bytes - before.bytes);
            std::this_thread::sleep_for(std::chrono::milliseconds(500));
            peak = std::max(peak, resident("VmHWM:"));
            const Reads disk = read_sequentially(file, std::max(work.bytes, 1.0), 1);
            const Reads keep = read_sequentially(file, std::max(work.bytes, 1.0), window);
            reset_peak();
            std::printf(
                "round %-2d  %8.3f s a token, waited %.3f s of it; %.3f GB a token, %.2f GB/s; disk %.2f GB/s, to "
                "memory %.2f GB/s\n",
                round, work.seconds / o.tokens, (after.waited - before.waited) / o.tokens, work.bytes / o.tokens / 1e9,
                work.rate() / 1e9, disk.rate() / 1e9, keep.rate() / 1e9);
            std::fflush(stdout);
            decoding += work;
            dropped += disk;
            kept += keep;
        }
        sum = talk.sum();
        seconds_per_token = decoding.seconds / (o.rounds * o.tokens);
        bytes_per_token = decoding.bytes / (o.rounds * o.tokens);
        std::printf("resident  %8lld MiB at most (now %lld anonymous, %lld of files)\n",
                    static_cast<long long>(peak >> 20), static_cast<long long>(resident("RssAnon:") >> 20),
                    static_cast<long long>(resident("RssFile:") >> 20));
        result["load_s"] = seconds;
        result["load_peak_bytes"] = loading;
        result["direct"] = direct;
        result["picture_s"] = talk.picture();
        result["prompt_s"] = talk.prefill();
    }
    const double share = decoding.rate() / dropped.rate(), share_of_memory = decoding.rate() / kept.rate();
    std::printf(
        "decoding  %8.3f s a token, %.2f GB/s: %.0f %% of the disk's %.2f GB/s, %.0f %% of the %.2f GB/s at which it "
        "fills memory\nlogits    %016llx\n",
        seconds_per_token, decoding.rate() / 1e9, 100 * share, dropped.rate() / 1e9, 100 * share_of_memory,
        kept.rate() / 1e9, static_cast<unsigned long long>(sum));
    result["resident_peak_bytes"] = peak;
    result["bytes_per_token"] = bytes_per_token;
    result["s_per_token"] = seconds_per_token;
    result["read_GB/s"] = decoding.rate() / 1e9;
    result["disk_GB/s"] = dropped.rate() / 1e9;
    result["disk_to_memory_GB/s"] = kept.rate() / 1e9;
    result["share"] = share;
    result["share_of_memory"] = share_of_memory;
    if (!o.alone) {
        const Plain model = Plain::load(o.model, load_options(o));
        Conversation<Plain> talk(model, o);
        double seconds = 0;
        for (int round = 0; round < o.rounds; ++round) seconds += talk.decode(o.tokens, round);
        seconds /= o.rounds * o.tokens;
        const bool same = talk.sum() == sum;
        std::printf(
            "in memory %8.3f s a token, picture %.2f s, prompt %.2f s; reading alone would take %.3f s a token; logits "
            "%s\n",
            seconds, talk.picture(), talk.prefill(), bytes_per_token / dropped.rate(), same ? "equal" : "DIFFER");
        result["in_memory_s_per_token"] = seconds;
        result["same_logits"] = same;
        if (!same) throw q::Error("the logits of streamed weights differ from those of weights in memory");
    }
    bench::write_json(o.json_file, result);
}

void run(Options o) {
    q::arch::require_supported<bench::Arch>();
    if (o.threads == 0) o.threads = q::execution::physical_cores();
    bench::with_dims(o.dims, [&]<class D>(q::type_tag<D>) {
        o.format == "bf16" ? run_model<D, q::weights::Bf16>(o) : run_model<D, q::weights::Int8<>>(o);
    });
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    CLI::App app{
        "Decoding with weights on the disk: rate beside the disk's own, resident memory, and whether the logits are "
        "those of weights in memory."};
    app.add_option("model", o.model, "the checkpoint's folder (examples/tools/make_synthetic makes one)")
        ->required()
        ->check(CLI::ExistingDirectory);
    app.add_option("packed", o.packed, "a folder for the packed file and nothing else; made if it is missing")
        ->required();
    app.add_option("--dims", o.dims, "the model's extents")->capture_default_str();
    app.add_option("--format", o.format, "what is streamed")
        ->check(CLI::IsMember({"bf16", "int8"}))
        ->capture_default_str();
    app.add_option("--threads", o.threads, "0: the physical cores")->check(CLI::Range(0, 1024))->capture_default_str();
    app.add_option("--rounds", o.rounds, "of decoding and sequential reads in turns")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--tokens", o.tokens, "of a round")->check(CLI::Range(1, 100))->capture_default_str();
    app.add_option("--picture", o.picture, "side of the picture before, in pixels")
        ->check(CLI::Range(32, 1024))
        ->capture_default_str();
    app.add_flag("--alone", o.alone, "without the model in memory, which a cgroup's limit would not allow");
    app.add_option("--json", o.json_file, "writes the result to this file");
    CLI11_PARSE(app, argc, argv);
    try {
        std::filesystem::create_directories(o.packed);
        run(o);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "bench_streamed: %s\n", e.what());
        return 1;
    }
    return 0;
}
