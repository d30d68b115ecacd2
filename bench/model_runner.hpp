#pragma once
#include <array>
#include <optional>
#include <qwen3vl/image/preprocess.hpp>
#include <qwen3vl/mask/over_grid.hpp>
#include <qwen3vl/session/session.hpp>
#include <qwen3vl/testing/synthetic_source.hpp>
#include "model_bench.hpp"
#include "visible_pairs.hpp"

namespace bench {

/// The works of model_bench over one model. What they cost at least follows from the Dims and the policies' own
/// extents, masks and formats: all arithmetic of a part counts at the peak of the part's weight format.
template <class D, class P>
class Runner : public LoadedModel {
    using M = q::Model<D, P>;
    using Session = q::Session<M>;
    static constexpr q::TextDims text = D::text;
    static constexpr bool sees = q::VisionLanguageDims<D>;

  public:
    explicit Runner(int threads) : threads_(threads), source_(q::testing::SyntheticSource::of<M>(1, threads)) {
        q::LoadOptions options;
        options.threads = threads;
        model_.emplace(*source_, source_, nullptr, options);
        source_->release_unmapped();
        const auto add = [&](const q::weights::WeightMatrix& w, const auto& format) {
            pieces_.emplace_back(w.data(), static_cast<std::size_t>(format.bytes(w.rows(), w.cols())));
        };
        for (std::size_t i = 0; i < manifest_.matrices.size(); ++i) {
            const auto& p = model_->loaded().matrix(i);
            if (is_layer(p)) add(*p.matrix, *p.format);
        }
        add(model_->head(), *manifest_.matrix(manifest_.head).format);
    }

    void prepare(std::string_view work) override {
        finish();
        work_ = work;
        if (work == "decode")
            begin_decode(32);
        else if (work == "decode4096")
            begin_decode(4096 - 4 * steps);
        else if (work == "prefill512")
            begin_prefill(512);
        else if (work == "prefill4096")
            begin_prefill(4096);
        else if constexpr (sees)
            begin_picture(work == "image1024" ? 1024 : 512);
        else
            throw q::PromptError(std::string(D::name) + " sees no pictures: " + std::string(work));
    }
    void finish() override {
        session_.reset();
        prompt_ = {};
        patches_ = {};
        picture_.reset();
    }
    std::vector<Figure> run() override {
        if (work_.starts_with("decode")) return {decode()};
        if (work_.starts_with("prefill")) return {prefill()};
        if constexpr (sees) return work_ == "ttft" ? first_token() : std::vector{encode()};
        return {};
    }

  private:
    static constexpr int steps = 12;  ///< of decoding in a run, each timed alone: the limit's measurement has as many
                                      ///< chances to meet a quiet moment

    void open(int context) {
        session_.emplace(
            *model_,
            q::SessionOptions{.context = static_cast<int>(std::min<std::int64_t>(context, Session::max_context)),
                              .chunk = 512,
                              .threads = threads_,
                              .largest_picture = {}});
    }
    static std::vector<int> random_tokens(std::int64_t count) {
        int ordinary = text.vocab;
        if constexpr (sees)
            ordinary = std::min({D::tokens.image, D::tokens.video, D::tokens.vision_start, D::tokens.vision_end});
        std::vector<int> tokens(static_cast<std::size_t>(count));
        std::uint32_t state = 1;
        for (auto& t : tokens) t = static_cast<int>((state = state * 1664525u + 1013904223u) >> 8) % ordinary;
        return tokens;
    }

    void begin_decode(int before) {
        open(before + 4 * steps);
        prompt_.tokens = random_tokens(before);
        session_->append(prompt_);
    }
    void begin_prefill(int tokens) {
        open(tokens);
        prompt_.tokens = random_tokens(tokens);
    }
    void begin_picture(int side) {
        std::vector<std::uint8_t> pixels(static_cast<std::size_t>(3 * side * side));
        std::uint32_t state = 1;
        for (auto& p : pixels) p = static_cast<std::uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
        picture_.emplace(q::Image::from_rgb(side, side, std::move(pixels)));
        config_.layout.patch = D::vision.patch;
        config_.layout.merge = D::vision.merge;
        config_.layout.temporal_patch = D::vision.temporal_patch;
        patches_ = q::preprocess(*picture_, config_);
        open(static_cast<int>(patches_.grid.merged(D::vision.merge)) + 64);
    }

    Figure decode() {
        if (session_->length() + steps > session_->context()) {
            session_->reset();
            session_->append(prompt_);
        }
        Figure best{work_, 0, {}, 1};
        std::int64_t at = 0;
        for (int i = 0; i < steps; ++i) {
            const auto start = Clock::now();
            session_->append(prompt_.tokens[static_cast<std::size_t>(i)]);
            const double seconds = seconds_since(start);
            if (i > 0 && seconds >= best.seconds) continue;
            best.seconds = seconds;
            at = session_->length() - 1;
        }
        add_text(best.parts, at, 1);
        return best;
    }
    Figure prefill() {
        session_->reset();
        const auto start = Clock::now();
        session_->append(prompt_);
        const auto n = static_cast<std::int64_t>(prompt_.tokens.size());
        Figure f{work_, seconds_since(start), {}, static_cast<double>(n)};
        add_text(f.parts, 0, n);
        return f;
    }
    Figure encode() {
        const auto start = Clock::now();
        const auto features = q::encode(session_->workspace(), patches_);
        Figure f{work_, seconds_since(start), {}, 0};
        add_vision(f.parts, patches_.grid);
        return f;
    }
    /// A question about a picture, from its pixels to the first logits.
    std::vector<Figure> first_token() {
        session_->reset();
        auto start = Clock::now();
        const q::Patches patches = q::preprocess(*picture_, config_);
        Figure preprocess{"ttft.preprocess", seconds_since(start), {}, 0};
        start = Clock::now();
        const auto features = q::encode(session_->workspace(), patches);
        Figure vision{"ttft.vision", seconds_since(start), {}, 0};
        add_vision(vision.parts, patches.grid);
        q::Prompt prompt{random_tokens(32), {features}};
        prompt.tokens.insert(prompt.tokens.begin() + 8, static_cast<std::size_t>(features->tokens()), D::tokens.image);
        start = Clock::now();
        session_->append(prompt);
        Figure prefill{"ttft.prefill", seconds_since(start), {}, 0};
        add_text(prefill.parts, 0, static_cast<std::int64_t>(prompt.tokens.size()));
        Figure whole{"ttft", preprocess.seconds + vision.seconds + prefill.seconds, vision.parts, 0};
        whole.parts.insert(whole.parts.end(), prefill.parts.begin(), prefill.parts.end());
        return {preprocess, vision, prefill, whole};
    }

    /// Dense layers over `rows(parameter)` rows each, format by format; 0 rows: the matrix is not used.
    template <class Rows>
    void add_dense(std::vector<Part>& parts, Rows&& rows) const {
        const auto begin = parts.size();
        for (std::size_t i = 0; i < manifest_.matrices.size(); ++i) {
            const auto& m = manifest_.matrix(i);
            const double n = rows(m);
            if (n == 0) continue;
            const auto of_format = [&](const Part& p) { return std::string_view(p.format) == m.format->name; };
            auto p = std::find_if(parts.begin() + static_cast<std::ptrdiff_t>(begin), parts.end(), of_format);
            if (p == parts.end())
                p = parts.insert(p, {.operations = 0, .format = m.format->name, .bytes = 0, .pieces = &pieces_});
            p->operations += 2.0 * n * static_cast<double>(m.rows() * m.cols());
            p->bytes += static_cast<double>(m.bytes());
        }
    }
    /// `tokens` tokens after `first` ones through the decoder, and the logits of the last.
    void add_text(std::vector<Part>& parts, std::int64_t first, std::int64_t tokens) const {
        add_dense(parts, [&](const auto& p) { return is_layer(p) ? static_cast<double>(tokens) : 0.0; });
        add_dense(parts, [&](const auto& p) { return p.packed == manifest_.head ? 1.0 : 0.0; });
        Part attention{.operations = 0, .format = "float32", .bytes = 0, .pieces = &pieces_};
        for (std::size_t i = 0; i < static_cast<std::size_t>(text.layers); ++i)
            q::detail::with_layer_slots<P>(i, [&](auto index) {
                using Slots = q::detail::LayerSlots<P, index()>;
                using Mask = typename Slots::Attention::mask;
                attention.operations += 4.0 * text.q_dim() * visible_pairs(Mask{}, first, tokens, first + tokens);
                const auto key_bytes =
                    static_cast<double>(Slots::KvCache::codec::tile_bytes(q::kv_cache::padded_channels(text.head_dim)) *
                                        text.kv_heads) /
                    static_cast<double>(q::kv_cache::tile_keys);
                Mask::for_each_range(first, first + tokens - 1, {0, first + tokens}, [&](q::mask::KeyRange range) {
                    attention.bytes += key_bytes * static_cast<double>(range.end - range.begin);
                });
            });
        parts.push_back(attention);
    }
    /// A picture through the tower: blocks for every patch, mergers for every token, attention within each frame pair.
    void add_vision(std::vector<Part>& parts, const q::Grid& grid) const {
        add_dense(parts, [&](const auto& p) {
            if (p.stage < 0 || p.stage >= manifest_.tower_stages) return 0.0;
            return static_cast<double>(p.name.find("merger") != p.name.npos ? grid.merged(D::vision.merge)
                                                                            : grid.patches());
        });
        const std::int64_t span = std::int64_t{grid.h} * grid.w;
        double pairs = 0;
        for (std::size_t block = 0; block < static_cast<std::size_t>(D::vision.depth); ++block)
            q::with_policy<typename M::Vision::Attention>(block, [&]<class A>(A) {
                const auto mask = q::mask::over_grid<typename A::type::mask>(grid, D::vision.merge);
                pairs += static_cast<double>(grid.t) * visible_pairs(mask, 0, span, span);
            });
        parts.push_back({.operations = 4.0 * D::vision.hidden * pairs, .format = "float32"});
    }

    bool is_layer(const auto& p) const { return p.stage >= manifest_.tower_stages && p.stage < manifest_.head_stage(); }

    int threads_;
    decltype(M::manifest()) manifest_ = M::manifest();
    std::shared_ptr<q::testing::SyntheticSource> source_;
    std::optional<M> model_;
    std::optional<Session> session_;
    std::string work_;
    q::Prompt prompt_;
    q::Patches patches_;
    std::optional<q::Image> picture_;
    q::PreprocessorConfig config_;
    Pieces pieces_;  ///< the weights that a step of decoding reads
};

}  // namespace bench
