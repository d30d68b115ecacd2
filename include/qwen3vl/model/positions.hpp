#pragma once
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <qwen3vl/core/dims.hpp>
#include <qwen3vl/core/error.hpp>
#include <qwen3vl/core/features.hpp>
#include <span>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI {

/// A prompt as the model reads it: token ids, pad tokens already as many as each picture has, and the pictures and clips in the order of
/// their pads. A clip's frame pairs are spans of their own.
struct Prompt {
    std::vector<int> tokens;
    std::vector<std::shared_ptr<const VisualFeatures>> visuals = {};
};

/// Consecutive pad tokens that one picture or frame pair fills.
struct VisualSpan {
    std::int64_t first = 0;  ///< index in the prompt
    std::int64_t count = 0;
    std::size_t visual = 0;  ///< which of the prompt's pictures and clips
    std::int64_t row = 0;    ///< first row of its features
};

/// Where a prompt's tokens stand: (t, h, w) of each token, and the spans that pictures fill.
struct Layout {
    std::vector<std::array<int, 3>> positions;  ///< [tokens]
    std::vector<std::int64_t> after;            ///< [tokens] the position that would follow; -1 where a picture goes on
    std::vector<VisualSpan> spans;
    std::int64_t next = 0;  ///< position of the token that follows the prompt
};

/// Extents of a picture or clip: all that positions depend on.
struct VisualGrid {
    Grid grid;
    int merge = 2;
};

/// Positions of a prompt whose first token stands at `start` (`get_rope_index`, modeling_qwen3_vl.py): text counts on in all three
/// coordinates; the tokens of a picture share the time of their beginning and count rows and columns from it; text goes on after the largest.
/// Throws PromptError where pads and pictures do not fit each other. `ids` absent: a text-only model.
inline Layout lay_out(std::span<const int> tokens, std::span<const VisualGrid> visuals, const std::optional<TokenIds>& ids, std::int64_t start) {
    Layout out;
    out.positions.reserve(tokens.size());
    std::int64_t at = start;
    std::size_t visual = 0;
    int pair = 0;
    const auto is_pad = [&](int token) { return ids && (token == ids->image || token == ids->video); };
    for (std::size_t i = 0; i < tokens.size();) {
        if (!is_pad(tokens[i])) {
            const int p = static_cast<int>(at++);
            out.positions.push_back({p, p, p});
            out.after.push_back(at);
            ++i;
            continue;
        }
        if (visual == visuals.size()) throw PromptError("the prompt has pad tokens for more pictures than the " + std::to_string(visuals.size()) + " given");
        const Grid& g = visuals[visual].grid;
        const int rows = g.h / visuals[visual].merge, columns = g.w / visuals[visual].merge;
        if (g.t < 1 || rows < 1 || columns < 1) throw PromptError("picture " + std::to_string(visual + 1) + " has an empty grid");
        const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
        std::size_t run = 0;
        while (run < count && i + run < tokens.size() && tokens[i + run] == tokens[i]) ++run;
        if (run < count)
            throw PromptError("picture " + std::to_string(visual + 1) + " needs " + std::to_string(count) + " pad tokens in a row, found " +
                              std::to_string(run));
        if (pair > 0 && i > 0 && is_pad(tokens[i - 1])) throw PromptError("the frame pairs of clip " + std::to_string(visual + 1) + " need text between them");
        out.spans.push_back({static_cast<std::int64_t>(i), static_cast<std::int64_t>(count), visual, pair * static_cast<std::int64_t>(count)});
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < columns; ++c) out.positions.push_back({static_cast<int>(at), static_cast<int>(at) + r, static_cast<int>(at) + c});
        at += std::max(rows, columns);
        out.after.insert(out.after.end(), count - 1, -1);
        out.after.push_back(at);
        i += count;
        if (++pair == g.t) {
            pair = 0;
            ++visual;
        }
    }
    if (visual != visuals.size())
        throw PromptError("the prompt has pad tokens for " + std::to_string(visual) + " pictures, " + std::to_string(visuals.size()) + " were given");
    out.next = at;
    return out;
}

}  // namespace qwen3vl
