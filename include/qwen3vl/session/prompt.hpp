#pragma once
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <qwen3vl/core/checksum.hpp>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/features.hpp>
#include <span>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// Two 64-bit hashes of a picture's or clip's extents and features, which tell contents apart.
std::array<std::uint64_t, 2> content_hash(const VisualFeatures& v);

/// A prompt as the model reads it: token ids, and pictures and clips in the order of their pads. Each picture has as
/// many pad tokens as it fills. A clip's frame pairs are spans of their own.
struct Prompt {
    std::vector<int> tokens;                                          ///< ids, pads included
    std::vector<std::shared_ptr<const VisualFeatures>> visuals = {};  ///< in the order of their pads; never null
};

/// Consecutive pad tokens that one picture or frame pair fills.
struct VisualSpan {
    std::int64_t first = 0;                           ///< index in the prompt
    std::int64_t count = 0;                           ///< tokens
    std::size_t visual = 0;                           ///< index among the prompt's pictures and clips
    std::int64_t row = 0;                             ///< first row of its features
    std::int64_t features = 0;                        ///< rows of them
    int rows = 0, columns = 0;                        ///< of the picture, in merged patches
    std::span<const std::array<int, 2>> places = {};  ///< VisualFeatures::places of the span
    bool outside = false;                             ///< its tokens stand in for features that are not in the sequence
};

/// Layout of a prompt: the position (t, h, w) of each token, and the spans that pictures fill.
struct Layout {
    std::vector<std::array<int, 3>> positions;  ///< [tokens]
    std::vector<std::int64_t> after;            ///< [tokens] the position that would follow; -1 where a picture goes on
    std::vector<VisualSpan> spans;              ///< in the order of the tokens
    std::int64_t next = 0;                      ///< position of the token that follows the prompt
};

/// Extents of a picture or clip: all that positions depend on.
struct VisualGrid {
    Grid grid;                                        ///< in patches; its t counts frame pairs
    int merge = 2;                                    ///< patches a side that become one token
    std::span<const std::array<int, 2>> places = {};  ///< VisualFeatures::places
    int stand_in = 0;                                 ///< VisualFeatures::stand_in
};

/// The spans that pictures fill in a prompt. Throws PromptError where pads and pictures do not fit each other. `ids`
/// absent: a text-only model.
std::vector<VisualSpan> visual_spans(std::span<const int> tokens, std::span<const VisualGrid> visuals,
                                     const std::optional<TokenIds>& ids);

/// Positions of `tokens` tokens, the first of which stands at `start` (`get_rope_index`, modeling_qwen3_vl.py). Text
/// counts on in all three coordinates. The tokens of a picture share the time of their beginning and count rows and
/// columns from it, or have those that a token-reduction policy left; text goes on after the largest of the whole grid.
/// Tokens that stand in for a picture outside of the sequence count as text. The spans are in order and do not overlap.
Layout lay_out(std::int64_t tokens, std::vector<VisualSpan> spans, std::int64_t start);
/// Positions of a prompt with its pictures. Throws as visual_spans().
Layout lay_out(std::span<const int> tokens, std::span<const VisualGrid> visuals, const std::optional<TokenIds>& ids,
               std::int64_t start);

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT std::array<std::uint64_t, 2> content_hash(const VisualFeatures& v) {
    const std::int64_t extents[] = {v.grid.t, v.grid.h, v.grid.w,
                                    v.merge,  v.width,  static_cast<std::int64_t>(v.deepstack.size())};
    std::array<std::uint64_t, 2> hash{1, 2};
    const auto add = [&](std::span<const std::byte> bytes) {
        for (auto& h : hash) h = checksum(bytes.data(), bytes.size(), h);
    };
    add(std::as_bytes(std::span(extents)));
    add(std::as_bytes(std::span(v.embedding)));
    for (const auto& level : v.deepstack) add(std::as_bytes(std::span(level)));
    add(std::as_bytes(std::span(v.places)));
    return hash;
}

QWEN3VL_SUPPORT std::vector<VisualSpan> visual_spans(std::span<const int> tokens, std::span<const VisualGrid> visuals,
                                                     const std::optional<TokenIds>& ids) {
    std::vector<VisualSpan> spans;
    std::size_t visual = 0;
    int pair = 0;
    const auto is_pad = [&](int token) { return ids && (token == ids->image || token == ids->video); };
    for (std::size_t i = 0; i < tokens.size();) {
        if (!is_pad(tokens[i])) {
            ++i;
            continue;
        }
        if (visual == visuals.size())
            throw PromptError("the prompt has pad tokens for more pictures than the " + std::to_string(visuals.size()) +
                              " given");
        const Grid& g = visuals[visual].grid;
        const int rows = g.h / visuals[visual].merge, columns = g.w / visuals[visual].merge;
        if (g.t < 1 || rows < 1 || columns < 1)
            throw PromptError("picture " + std::to_string(visual + 1) + " has an empty grid");
        const auto& places = visuals[visual].places;
        const std::size_t features = places.empty() ? static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns)
                                                    : places.size() / static_cast<std::size_t>(g.t);
        const int stand_in = visuals[visual].stand_in;
        const std::size_t count = stand_in > 0 ? static_cast<std::size_t>(stand_in) : features;
        std::size_t run = 0;
        while (run < count && i + run < tokens.size() && tokens[i + run] == tokens[i]) ++run;
        if (run < count)
            throw PromptError("picture " + std::to_string(visual + 1) + " needs " + std::to_string(count) +
                              " pad tokens in a row, found " + std::to_string(run));
        if (pair > 0 && i > 0 && is_pad(tokens[i - 1]))
            throw PromptError("the frame pairs of clip " + std::to_string(visual + 1) + " need text between them");
        spans.push_back(
            {.first = static_cast<std::int64_t>(i),
             .count = static_cast<std::int64_t>(count),
             .visual = visual,
             .row = pair * static_cast<std::int64_t>(features),
             .features = static_cast<std::int64_t>(features),
             .rows = rows,
             .columns = columns,
             .places = places.empty() ? places : places.subspan(static_cast<std::size_t>(pair) * features, features),
             .outside = stand_in > 0});
        i += count;
        if (++pair == g.t) {
            pair = 0;
            ++visual;
        }
    }
    if (visual != visuals.size())
        throw PromptError("the prompt has pad tokens for " + std::to_string(visual) + " pictures, " +
                          std::to_string(visuals.size()) + " were given");
    return spans;
}

QWEN3VL_SUPPORT Layout lay_out(std::int64_t tokens, std::vector<VisualSpan> spans, std::int64_t start) {
    Layout out;
    out.positions.reserve(static_cast<std::size_t>(tokens));
    out.after.reserve(static_cast<std::size_t>(tokens));
    std::int64_t at = start;
    auto span = spans.begin();
    for (std::int64_t i = 0; i < tokens;) {
        const int p = static_cast<int>(at);
        if (span == spans.end() || span->first != i) {
            out.positions.push_back({p, p, p});
            out.after.push_back(++at);
            ++i;
            continue;
        }
        if (span->outside) {
            for (int k = 0; k < span->count; ++k) out.positions.push_back({p + k, p + k, p + k});
            at += span->count;
        } else {
            for (const auto& [r, c] : span->places) out.positions.push_back({p, p + r, p + c});
            for (int r = 0; span->places.empty() && r < span->rows; ++r)
                for (int c = 0; c < span->columns; ++c) out.positions.push_back({p, p + r, p + c});
            at += std::max(span->rows, span->columns);
        }
        out.after.insert(out.after.end(), static_cast<std::size_t>(span->count - 1), -1);
        out.after.push_back(at);
        i += span->count;
        ++span;
    }
    out.spans = std::move(spans);
    out.next = at;
    return out;
}

QWEN3VL_SUPPORT Layout lay_out(std::span<const int> tokens, std::span<const VisualGrid> visuals,
                               const std::optional<TokenIds>& ids, std::int64_t start) {
    return lay_out(static_cast<std::int64_t>(tokens.size()), visual_spans(tokens, visuals, ids), start);
}

#endif

}  // namespace qwen3vl
