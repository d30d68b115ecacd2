#pragma once
#include <initializer_list>
#include <qwen3vl/policies/bundles.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/compare.hpp>
#include <qwen3vl/testing/models.hpp>
#include <qwen3vl/testing/sources.hpp>
#include "catch.hpp"

namespace qwen3vl_test {

using namespace qwen3vl;

/// The bundles that tests of all of them run over; in sanitized builds, which take minutes for each, those that differ
/// most.
#if defined(QWEN3VL_SANITIZED)
using TestedBundles = list<bundles::float32, bundles::int4, bundles::window>;
#else
using TestedBundles = bundles::all;
#endif

/// Random text ids below all special ones.
inline std::vector<int> words(std::size_t n, std::uint64_t seed = 1) { return testing::synthetic_tokens(n, 400, seed); }

/// Adds text to a prompt.
inline Prompt& operator<<(Prompt& p, const std::vector<int>& tokens) {
    p.tokens.insert(p.tokens.end(), tokens.begin(), tokens.end());
    return p;
}

/// Adds a picture with its frame of vision tokens; a clip as spans with a text token between them.
template <class D>
void add_visual(Prompt& p, std::shared_ptr<const VisualFeatures> f) {
    for (int t = 0; t < f->grid.t; ++t) {
        if (t > 0) p.tokens.push_back(7);
        p.tokens.push_back(D::tokens.vision_start);
        p.tokens.insert(p.tokens.end(), static_cast<std::size_t>(f->span_tokens()),
                        f->grid.t > 1 ? D::tokens.video : D::tokens.image);
        p.tokens.push_back(D::tokens.vision_end);
    }
    p.visuals.push_back(std::move(f));
}

/// Text, pictures of these grids, and text again.
template <class D, class S>
Prompt picture_prompt(S& session, std::initializer_list<Grid> grids, std::size_t text_tokens = 5) {
    Prompt p;
    p << words(text_tokens, 2);
    std::uint64_t seed = 10;
    for (const Grid& g : grids) {
        add_visual<D>(p, encode(session.workspace(), testing::synthetic_patches(D::vision, g, ++seed)));
        p << words(3, seed);
    }
    return p;
}

template <class S>
std::vector<float> logits_of(const S& session) {
    const auto l = session.logits();
    return {l.begin(), l.end()};
}

/// Logits after a prompt, and after more tokens one by one.
template <class S>
std::vector<float> logits_along(S& session, const Prompt& prompt, const std::vector<int>& more) {
    session.append(prompt);
    auto logits = logits_of(session);
    for (const int token : more) session.append(token);
    const auto last = session.logits();
    logits.insert(logits.end(), last.begin(), last.end());
    return logits;
}

/// Encodes a picture, prefills and decodes, with numbers of its own: all logits on the way.
template <class M>
std::vector<float> conversation(const M& model, std::uint64_t seed = 1, int threads = 1, int decode_threads = 0) {
    using D = typename M::dims;
    Session<M> session(model, {.context = 200, .chunk = 16, .threads = threads, .decode_threads = decode_threads});
    Prompt p;
    p << words(10 + seed, seed);
    add_visual<D>(p, encode(session.workspace(),
                            testing::synthetic_patches(D::vision, {1, 4, 4 + 2 * static_cast<int>(seed)}, seed)));
    p << words(20, seed + 1);
    session.append(p);
    std::vector<float> all = logits_of(session);
    for (const int token : words(10, seed + 2)) {
        session.append(token);
        const auto l = session.logits();
        all.insert(all.end(), l.begin(), l.end());
    }
    return all;
}

/// Logits after the prompt in a session of its own.
template <class M>
std::vector<float> run(const M& model, const Prompt& prompt, int chunk = 512, int threads = 1) {
    Session<M> session(model, {.context = static_cast<int>(prompt.tokens.size()), .chunk = chunk, .threads = threads});
    session.append(prompt);
    return logits_of(session);
}

}  // namespace qwen3vl_test
