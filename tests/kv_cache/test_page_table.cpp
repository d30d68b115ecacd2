#include <qwen3vl/kv_cache/page_table.hpp>
#include <qwen3vl/testing/rng.hpp>
#include <thread>
#include "catch.hpp"

using namespace qwen3vl;
using kv_cache::PageStore;
using kv_cache::PageTable;

namespace {

constexpr std::int64_t page_tokens = kv_cache::tile_keys, context = 10 * page_tokens;

/// Pages that keep a number for each token.
struct Pool {
    std::vector<std::uint64_t> memory;
    PageStore store;
    explicit Pool(std::int64_t pages)
        : memory(static_cast<std::size_t>(pages * page_tokens)),
          store(reinterpret_cast<std::byte*>(memory.data()),
                page_tokens * static_cast<std::int64_t>(sizeof(std::uint64_t)), pages) {}
};

/// A sequence whose number for a token is made of all tokens and pictures up to it, as a key is.
class Sequence {
  public:
    explicit Sequence(Pool& pool)
        : memory_(static_cast<std::size_t>((PageTable::bytes(context) + TokenLog::bytes(context)) / 8 + 1)),
          log_(bytes() + PageTable::bytes(context), context),
          table_(pool.store, bytes(), log_) {}

    std::int64_t length() const { return static_cast<std::int64_t>(expected_.size()); }
    std::int64_t taken_over() const { return taken_over_; }
    PageTable& table() { return table_; }

    /// `picture`: what stands for one at the first of the tokens, of so many; 0: none.
    void append(const std::vector<int>& tokens, std::int64_t picture_tokens = 0, std::uint64_t picture = 0) {
        const std::int64_t first = length(), n = static_cast<std::int64_t>(tokens.size());
        try {
            for (const int token : tokens) log_.append(token);
            if (picture_tokens > 0)
                log_.note({.first = first,
                           .rows = 1,
                           .columns = static_cast<int>(picture_tokens),
                           .tokens = picture_tokens,
                           .content = {picture, 1}});
            taken_over_ = table_.take_over(first, first + n - 1);
            table_.reserve_tokens(first + taken_over_, n - taken_over_);
        } catch (const PoolExhausted&) {
            log_.truncate(first);
            table_.shorten(first);
            throw;
        }
        for (std::int64_t i = 0; i < n; ++i) {
            const std::uint64_t seen = i < picture_tokens ? picture : 0;
            expected_.push_back(mix(expected_.empty() ? 0 : expected_.back(),
                                    static_cast<std::uint64_t>(tokens[static_cast<std::size_t>(i)]) * 1000 + seen));
            if (i >= taken_over_) number(first + i) = expected_.back();
        }
        table_.publish(length());
    }
    void shorten(std::int64_t tokens) {
        log_.truncate(tokens);
        table_.shorten(tokens);
        expected_.resize(static_cast<std::size_t>(tokens));
    }
    /// Becomes so many tokens whose numbers come from elsewhere.
    void restore(std::int64_t tokens, std::uint64_t seed) {
        table_.renew(tokens);
        log_.truncate(0);
        for (std::int64_t i = 0; i < tokens; ++i) log_.append(static_cast<int>(i));
        expected_.clear();
        for (std::int64_t i = 0; i < tokens; ++i)
            number(i) = expected_.emplace_back(mix(seed, static_cast<std::uint64_t>(i)));
    }
    void fork(Sequence& other) {
        table_.share(other.table_);
        log_.copy(other.log_);
        expected_ = other.expected_;
    }
    bool intact() {
        for (std::int64_t i = 0; i < length(); ++i)
            if (number(i) != expected_[static_cast<std::size_t>(i)]) return false;
        return true;
    }

  private:
    std::byte* bytes() { return reinterpret_cast<std::byte*>(memory_.data()); }
    static std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
        return testing::Rng(a * 0x9e3779b97f4a7c15u + b).bits();
    }
    std::uint64_t& number(std::int64_t token) {
        return reinterpret_cast<std::uint64_t*>(table_.page(token / page_tokens))[token % page_tokens];
    }

    std::vector<std::uint64_t> memory_, expected_;
    TokenLog log_;
    PageTable table_;
    std::int64_t taken_over_ = 0;
};

std::vector<int> tokens_of(std::size_t n, int first) {
    std::vector<int> tokens(n);
    for (std::size_t i = 0; i < n; ++i) tokens[i] = first + static_cast<int>(i);
    return tokens;
}

}  // namespace

TEST_CASE("what others computed is taken over page by page, the last token never") {
    Pool pool(20);
    Sequence a(pool), b(pool);
    a.append(tokens_of(200, 0));
    CHECK(a.taken_over() == 0);
    b.append(tokens_of(200, 0));
    CHECK(b.taken_over() == 192);
    CHECK(b.intact());
    CHECK(pool.store.statistics().shared == 3);
    CHECK(pool.store.statistics().in_use == 5);
    b.shorten(0);
    b.append(tokens_of(192, 0));
    CHECK(b.taken_over() == 128);  // the third page ends with the last token
    CHECK(b.intact());
    CHECK(pool.store.statistics().in_use == 4);  // equal full pages become one
    b.shorten(0);
    b.append(tokens_of(30, 0));
    b.append(tokens_of(100, 30));  // of which the first 34 fill a page with the tokens before
    CHECK(b.taken_over() == 98);
    CHECK(b.intact());
    b.append(tokens_of(70, 130));
    CHECK(b.taken_over() == 62);
    b.shorten(0);
    b.append(tokens_of(200, 1));
    CHECK(b.taken_over() == 0);
}

TEST_CASE("what is no more used is found again, and goes when its room is needed, the ends of prefixes first") {
    Pool pool(6);
    Sequence a(pool), b(pool);
    a.append(tokens_of(3 * 64, 0));
    a.shorten(0);
    CHECK(pool.store.statistics().cached == 3);
    CHECK(pool.store.statistics().free == 3);
    b.append(tokens_of(4 * 64, 1000));  // takes the third page's room
    CHECK(pool.store.statistics().evicted == 1);
    b.shorten(0);
    a.append(tokens_of(3 * 64, 0));
    CHECK(a.taken_over() == 2 * 64);
    CHECK(a.intact());
}

TEST_CASE("too few pages: an error that says so, and everything as before") {
    Pool pool(5);
    Sequence a(pool), b(pool);
    a.append(tokens_of(3 * 64, 0));
    b.append(tokens_of(64, 0));
    CHECK(pool.store.statistics().in_use == 3);
    for (int i = 0; i < 3; ++i) {
        CHECK_THROWS_WITH(b.append(tokens_of(3 * 64, 500)),
                          Catch::Contains("5 pages of 64 tokens, of which sessions use 3: 3 are needed, 2 can be had"));
        CHECK(b.length() == 64);
        CHECK(pool.store.statistics().free == 2);
    }
    b.append(tokens_of(2 * 64, 500));
    CHECK_THROWS_AS(a.append({1}), PoolExhausted);
    CHECK((a.intact() && b.intact()));
    CHECK_THROWS_AS(b.restore(4 * 64, 1), PoolExhausted);  // two pages are its own, one is not
    CHECK(b.intact());
    b.restore(2 * 64, 1);
    CHECK((a.intact() && b.intact()));
    a.shorten(64);
    b.append({1});
    CHECK((a.intact() && b.intact()));
}

TEST_CASE(
    "a page is copied where others refer to it, and not where there is no room for two and one sequence alone has it") {
    Pool pool(3);
    Sequence a(pool), b(pool);
    a.append(tokens_of(100, 0));
    b.fork(a);
    CHECK(pool.store.statistics().in_use == 2);
    b.append({7});
    CHECK(pool.store.statistics().copied == 1);
    a.append({8});  // its own again
    CHECK(pool.store.statistics().copied == 1);
    CHECK((a.intact() && b.intact()));
    CHECK(pool.store.statistics().in_use == 3);
    b.shorten(40);
    CHECK(pool.store.statistics().free == 1);
    b.append({9});  // others refer to the first page
    CHECK((a.intact() && b.intact()));
    CHECK(pool.store.statistics().in_use == 3);
    b.shorten(0);
    a.shorten(40);  // a page that can be found is copied, so that it can be found still
    a.append({10});
    CHECK(pool.store.statistics().cached == 1);
    a.shorten(0);
    a.append(tokens_of(70, 0));
    CHECK(a.taken_over() == 64);
    b.append(tokens_of(64, 300));
    a.shorten(40);
    b.append({1});
    CHECK(pool.store.statistics().free == 0);
    a.append({11});
    CHECK(pool.store.statistics().in_use == 3);
    CHECK((a.intact() && b.intact()));
}

TEST_CASE("pictures are told apart by what they are and where they begin") {
    Pool pool(20);
    Sequence a(pool), b(pool);
    const auto picture = std::vector<int>(100, 5);
    const auto talk = [&](Sequence& s, std::int64_t count, std::uint64_t content) {
        s.shorten(0);
        s.append({1, 2});
        s.append(picture, count, content);
        s.append(tokens_of(100, 0));
        const bool ok = s.intact();
        s.shorten(102);  // outside of the picture
        s.append({7});
        return ok && s.intact();
    };
    CHECK(talk(a, 100, 77));
    b.append({1, 2});
    b.append(picture, 100, 77);
    CHECK(b.taken_over() == 62);
    CHECK(b.intact());
    CHECK(talk(b, 100, 77));
    for (const std::int64_t count : {100, 0}) {
        b.shorten(0);
        b.append({1, 2});
        b.append(picture, count, count == 100 ? 78 : 77);
        CHECK(b.taken_over() == 0);
        CHECK(b.intact());
    }
}

TEST_CASE("any sequence of steps leaves every sequence with its own tokens, and gives every page back") {
    for (const std::int64_t pages : {12, 25, 60}) {
        testing::Rng random(static_cast<std::uint64_t>(pages));
        Pool pool(pages);
        std::vector<std::unique_ptr<Sequence>> all;
        for (int i = 0; i < 6; ++i) all.push_back(std::make_unique<Sequence>(pool));
        std::int64_t taken_over = 0, exhausted = 0;
        bool intact = true;
        for (std::uint64_t step = 0; step < 4000; ++step) {
            Sequence &s = *all[static_cast<std::size_t>(random.below(6))],
                     &other = *all[static_cast<std::size_t>(random.below(6))];
            const std::int64_t length = s.length();
            const int kind = random.below(20);
            try {
                if (kind == 0) {
                    if (&s != &other) s.fork(other);
                } else if (kind == 1) {
                    s.restore(random.below(static_cast<int>(context)), step);
                } else if (kind < 4) {
                    s.shorten(0);
                } else if (kind < 8) {
                    s.shorten(random.below(static_cast<int>(length) + 1));
                } else if (const auto n = static_cast<std::size_t>(random.below(kind < 12 ? 3 : 200) + 1);
                           length + static_cast<std::int64_t>(n) <= context) {
                    std::vector<int> tokens(n);
                    for (std::size_t i = 0; i < n; ++i) tokens[i] = random.below(50) == 0;  // one of few conversations
                    s.append(tokens);
                    taken_over += s.taken_over();
                }
            } catch (const PoolExhausted&) {
                ++exhausted;
                intact = intact && s.length() == length;
            }
            for (const auto& each : all) intact = intact && each->intact();
            const auto now = pool.store.statistics();
            intact = intact && now.free + now.cached + now.in_use == pages && now.free >= 0 && now.cached >= 0;
        }
        CHECK(intact);
        CHECK(taken_over > 1000);
        CHECK((pages >= 60) == (exhausted == 0));
        all.clear();
        CHECK(pool.store.statistics().in_use == 0);
        CHECK(pool.store.statistics().free + pool.store.statistics().cached == pages);
        Sequence last(pool);
        if (pages >= 10) last.append(tokens_of(static_cast<std::size_t>(context), 9000));  // any page can be had
        CHECK(last.intact());
    }
}

TEST_CASE("sequences of several threads share pages") {
    Pool pool(40);
    std::vector<std::thread> threads;
    std::vector<char> intact(4, 0);
    for (std::size_t t = 0; t < intact.size(); ++t)
        threads.emplace_back([&, t] {
            testing::Rng random(t);
            Sequence s(pool);
            bool all = true;
            for (int round = 0; round < 200; ++round) {
                s.shorten(0);
                s.append(tokens_of(static_cast<std::size_t>(100 + random.below(300)), random.below(2)));
                s.append({5, 6});
                s.shorten(s.length() - 70);
                s.append(tokens_of(80, 0));
                all = all && s.intact();
            }
            intact[t] = all;
        });
    for (auto& thread : threads) thread.join();
    CHECK(intact == std::vector<char>(4, 1));
    CHECK(pool.store.statistics().in_use == 0);
    CHECK(pool.store.statistics().reused > 100);
}
