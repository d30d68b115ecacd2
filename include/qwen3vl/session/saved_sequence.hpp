#pragma once
#include <limits>
#include <qwen3vl/session/sequence.hpp>
#include <qwen3vl/token_reduction/tokens.hpp>

/// Sequences in files: their keys, writing and reading.
namespace qwen3vl::inline QWEN3VL_ABI {

namespace detail {

/// A picture among a saved sequence's tokens.
struct SavedPicture {
    std::int64_t first = 0, rows = 0, columns = 0, tokens = 0, feature_row = 0;
    std::array<std::uint64_t, 2> content{};
};

/// Reads the tokens of a saved sequence, and the spans of its pictures. Throws LoadError where they cannot be those of
/// a model of Dims D.
template <Dims D, class P>
struct SavedTokens {
    std::vector<int> ids;
    std::vector<SavedPicture> pictures;
    std::vector<std::array<int, 2>> places;  ///< of the tokens of reduced pictures
    std::vector<VisualSpan> spans;           ///< views of `places`
    std::uint64_t visual_tokens = 0;

    SavedTokens(StateReader& in, const SavedHeader& header)
        : ids(header.length), pictures(header.pictures), places(header.places) {
        in.read(std::as_writable_bytes(std::span(ids)));
        in.read(std::as_writable_bytes(std::span(pictures)));
        in.read(std::as_writable_bytes(std::span(places)));
        for (const int id : ids)
            if (id < 0 || id >= D::text.vocab)
                in.fail("damaged: token id " + std::to_string(id) + ", the vocabulary has " +
                        std::to_string(D::text.vocab));
        const auto length = static_cast<std::int64_t>(ids.size());
        std::int64_t end = 0, reach = length;  // reach: no position is larger
        std::span<const std::array<int, 2>> left_places = places;
        for (const SavedPicture& p : pictures) {
            const std::int64_t left = p.first < end ? 0 : length - p.first;
            const bool sides = std::min(p.rows, p.columns) >= 1 && std::max(p.rows, p.columns) <= longest_side;
            const std::int64_t features = sides ? features_of(p) : 0;
            if (left < 1 || !sides || p.tokens < 1 || p.tokens > left ||
                p.tokens != fusion::pads_of<Fusion>(features) || p.feature_row < 0 ||
                p.feature_row > (outside ? features * p.first : p.first) || p.feature_row % features != 0)
                in.fail("damaged: a picture of " + std::to_string(p.rows) + " x " + std::to_string(p.columns) +
                        " patches and " + std::to_string(p.tokens) + " tokens at token " + std::to_string(p.first) +
                        " of " + std::to_string(length));
            reach += outside ? 0 : std::max(p.rows, p.columns);
            end = p.first + p.tokens;
            for (std::int64_t t = p.first; t < end; ++t)
                if (!is_pad(ids[static_cast<std::size_t>(t)]))
                    in.fail("damaged: token " + std::to_string(t) + " of a picture is none");
            const bool reduced = !outside && features != p.rows * p.columns;
            const auto count = static_cast<std::size_t>(reduced ? features : 0);
            if (count > left_places.size()) in.fail("damaged: tokens of a reduced picture have no places");
            for (const auto& [row, column] : left_places.first(count))
                if (row < 0 || row >= p.rows || column < 0 || column >= p.columns)
                    in.fail("damaged: a token at row " + std::to_string(row) + " and column " + std::to_string(column) +
                            " of a picture of " + std::to_string(p.rows) + " x " + std::to_string(p.columns) +
                            " patches");
            spans.push_back({.first = p.first,
                             .count = p.tokens,
                             .visual = spans.size(),
                             .row = p.feature_row,
                             .features = features,
                             .rows = static_cast<int>(p.rows),
                             .columns = static_cast<int>(p.columns),
                             .places = left_places.first(count),
                             .outside = outside});
            left_places = left_places.subspan(count);
            visual_tokens += static_cast<std::uint64_t>(features);
        }
        if (!left_places.empty())
            in.fail("damaged: places of " + std::to_string(left_places.size()) + " tokens too many");
        if (visual_tokens != header.visual_tokens)
            in.fail("damaged: " + std::to_string(header.visual_tokens) + " visual tokens, its pictures have " +
                    std::to_string(visual_tokens));
        if (reach > std::numeric_limits<int>::max()) in.fail("damaged: its pictures have too many rows and columns");
    }

  private:
    static constexpr std::int64_t longest_side = 1 << 16;
    using Fusion = typename P::Fusion;
    static constexpr bool outside = fusion::KeepsOutside<Fusion>;
    static std::int64_t features_of(const SavedPicture& p) {
        using Reduction = typename P::Text::TokenReduction;
        return token_reduction::tokens_of<Reduction>(static_cast<int>(p.rows), static_cast<int>(p.columns));
    }
    static bool is_pad([[maybe_unused]] int id) {
        if constexpr (VisionLanguageDims<D>)
            return id == D::tokens.image || id == D::tokens.video;
        else
            return false;
    }
};

}  // namespace detail

/// Hashes all that a saved state must agree in with this sequence, to be restored to it.
template <class M>
std::uint64_t Sequence<M>::state_key() {
    std::uint64_t h = checksum(Text::Position::name, model_->fingerprint());
    const auto add = [&](const auto* data, std::size_t n) {
        h = checksum(reinterpret_cast<const std::byte*>(data), n * sizeof *data, h);
    };
    layers_.visit_owners([&]<class S>(S, std::size_t, auto&) {
        using Cache = typename S::KvCache;
        const kv_cache::Extent e = S::extent(D::text, options_.context);
        h = checksum(std::string(Cache::name) + ' ' + Cache::codec::name, h);
        const std::int64_t numbers[] = {Cache::capacity, kv_cache::tile_keys,
                                        e.kv_heads,      kv_cache::stored_channels<Cache>(e.channels),
                                        e.span,          e.sinks};
        add(numbers, std::size(numbers));
    });
    layers_.visit([&]<class S>(S, std::size_t i, auto&) {
        const int owner = kv_cache::owner_of<typename S::KvCache>(static_cast<int>(i));
        add(&owner, 1);
    });
    // the options of the position policy show in what it writes for a token
    const auto frequencies = position::frequencies<typename Text::Position>(D::text, D::text.head_dim);
    std::vector<float> cosines(frequencies.size()), sines(frequencies.size());
    position::text_angles<typename P::Arch, typename Text::Position>(D::text, frequencies, {1, 1, 1}, cosines.data(),
                                                                     sines.data());
    add(cosines.data(), cosines.size());
    add(sines.data(), sines.size());
    h = detail::PolicyStates<D, P>::key(h);
    if (detail::looks_ahead<P>) h = checksum("pictures both ways", h);
    return detail::masks_by_modality<P> ? checksum("mask by modality", h) : h;
}

/// Tokens that pictures fill in the saved sequence.
template <class M>
std::int64_t Sequence<M>::visual_in(const detail::SavedHeader& header) {
    return fusion::KeepsOutside<typename P::Fusion>
               ? static_cast<std::int64_t>(header.pictures) * fusion::stand_in_of<typename P::Fusion>()
               : static_cast<std::int64_t>(header.visual_tokens);
}

/// Bytes of tokens, pictures, logits and caches in a file.
template <class M>
std::int64_t Sequence<M>::saved_bytes(std::int64_t tokens, const detail::SavedHeader& header) {
    auto bytes =
        static_cast<std::int64_t>(header.length * sizeof(int) + header.pictures * sizeof(detail::SavedPicture) +
                                  header.places * sizeof(std::array<int, 2>) + header.logits * sizeof(float));
    bytes += detail::PolicyStates<D, P>::saved_bytes(header.extent());
    const std::int64_t visual = visual_in(header);
    layers_.visit_owners([&]<class S>(S, std::size_t, auto&) {
        bytes += kv_cache::saved_bytes<typename S::KvCache>(S::extent(D::text, options_.context), tokens, visual);
    });
    return bytes;
}

template <class M>
void Sequence<M>::save(const std::string& path, std::span<const std::span<const std::byte>> extra) {
    static_assert(
        can_save,
        "qwen3vl: slot kv_cache: a layer's cache cannot be written to a file; choose one whose can_save is true");
    const ResidencyGuard held(*this);
    detail::SavedHeader header;
    std::vector<detail::SavedPicture> pictures;
    std::vector<std::array<int, 2>> places;
    for (const auto& p : log_.pictures())
        if (p.first < length_) {
            pictures.push_back({p.first, p.rows, p.columns, p.tokens, p.feature_row, p.content});
            header.visual_tokens += static_cast<std::uint64_t>(p.features);
            for (std::int64_t t = p.first; p.reduced() && !fusion::KeepsOutside<typename P::Fusion> && t < p.end();
                 ++t) {
                const auto& [time, row, column] = log_.position(t);  // which count from the picture's beginning
                places.push_back({row - time, column - time});
            }
        }
    header.key = state_key();
    header.length = static_cast<std::uint64_t>(length_);
    header.pictures = pictures.size();
    header.places = places.size();
    header.logits = has_logits() ? D::text.vocab : 0;
    for (const auto piece : extra) header.extra += piece.size();
    header.bytes =
        detail::SavedHeader::file_bytes(saved_bytes(length_, header) + static_cast<std::int64_t>(header.extra));
    detail::StateWriter out(path, header);
    out.write(std::as_bytes(log_.ids().first(static_cast<std::size_t>(length_))));
    out.write(std::as_bytes(std::span(pictures)));
    out.write(std::as_bytes(std::span(places)));
    if (has_logits()) out.write(std::as_bytes(logits()));
    layers_.visit_owners([&](auto, std::size_t, auto& layer) {
        layer.cache.for_each_piece(length_, [&](std::span<const std::byte> piece) { out.write(piece); });
    });
    states_->visit([&](auto& state) {
        state.for_each_piece(header.extent(), [&](std::span<const std::byte> piece) { out.write(piece); });
    });
    for (const auto piece : extra) out.write(piece);
    out.finish();
}

template <class M>
template <class Team>
void Sequence<M>::restore(const std::string& path, Team& team, const AcceptState& accept) {
    static_assert(
        can_save,
        "qwen3vl: slot kv_cache: a layer's cache cannot be read from a file; choose one whose can_save is true");
    detail::StateReader in(path);
    const ResidencyGuard held(*this);
    const auto& header = in.header();
    if (header.key != state_key())
        in.fail(
            "saved by another model, with another kv_cache or position policy, or with a mask by modality, or "
            "one that shows a picture's tokens both ways, here or there alone");
    if (header.length > static_cast<std::uint64_t>(context()))
        throw ContextOverflow(path + ": the saved session has " + std::to_string(header.length) +
                              " tokens, the context holds " + std::to_string(context()));
    const auto tokens = static_cast<std::int64_t>(header.length);
    const auto most_visual = [&]() -> std::uint64_t {
        if constexpr (fusion::KeepsOutside<typename P::Fusion>)
            return static_cast<std::uint64_t>(P::Fusion::visual_capacity(options_.context));
        else
            return header.length;
    }();
    if ((header.logits != 0 && header.logits != D::text.vocab) || header.pictures > header.length ||
        header.places > header.length || header.visual_tokens > most_visual || header.extra > header.bytes ||
        header.bytes - header.extra != detail::SavedHeader::file_bytes(saved_bytes(tokens, header)))
        in.fail("damaged: its sizes do not fit each other");
    const detail::SavedTokens<D, P> saved(in, header);
    require_cache_room_for(tokens - visual_in(header), visual_in(header));
    const Layout layout = lay_out(tokens, saved.spans, 0);
    if (accept) accept(in.extra());
    pages_.renew(tokens);
    log_.truncate(0);
    states_->rewind(0);
    length_ = 0;
    logits_after_ = none;
    log(saved.ids, layout);
    for (std::size_t i = 0; i < saved.pictures.size(); ++i) {
        const auto& p = saved.pictures[i];
        log_.note({.first = p.first,
                   .rows = static_cast<int>(p.rows),
                   .columns = static_cast<int>(p.columns),
                   .tokens = p.tokens,
                   .features = saved.spans[i].features,
                   .feature_row = p.feature_row,
                   .content = p.content});
    }
    if (header.logits != 0)
        in.read(std::as_writable_bytes(std::span(logits_, static_cast<std::size_t>(D::text.vocab))));
    layers_.visit_owners([&](auto, std::size_t, auto& layer) {
        kv_cache::fill_pieces(layer.cache, tokens, [&](std::span<std::byte> piece) { in.read(piece); });
    });
    states_->visit([&](auto& state) {
        state.for_each_piece(header.extent(), [&](std::span<std::byte> piece) { in.read(piece); });
    });
    length_ = tokens;
    update_masks(team, 0, tokens);
    if (header.logits != 0) logits_after_ = tokens;
}

}  // namespace qwen3vl
