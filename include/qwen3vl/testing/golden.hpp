#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <qwen3vl/checkpoint/safetensors.hpp>
#include <qwen3vl/testing/standalone_session.hpp>
#include <string>
#include <vector>

/// Compares a model with a case recorded from the reference: the layout is that of tests/data/tiny_cases (made by
/// make_golden.py).
namespace qwen3vl::inline QWEN3VL_ABI::testing {

/// One tensor of a case against ours.
struct GoldenRow {
    std::string tensor;
    double absolute = 0;  ///< largest difference
    double relative = 0;  ///< largest difference over the largest magnitude of the reference's tensor
    bool pass = false;
    std::string note;  ///< why it could not be compared, where it could not
};

/// The reference's own rounding in float32 is 2e-6 of a tensor's largest magnitude; ten times that is allowed.
inline constexpr double golden_tolerance = 2e-5;

class GoldenCase {
  public:
    explicit GoldenCase(const checkpoint::SafetensorsFile& file) : file_(file) {}

    template <class T>
    std::vector<T> values(const std::string& name, DType dtype) const {
        const TensorView& t = file_.at(name);
        if (t.dtype != dtype)
            throw LoadError(file_.path(), name, std::string(dtype_name(dtype)), std::string(dtype_name(t.dtype)));
        std::vector<T> v(static_cast<std::size_t>(t.elements()));
        if (!v.empty()) std::memcpy(v.data(), t.data, v.size() * sizeof(T));
        return v;
    }
    std::vector<int> ints(const std::string& name) const { return values<int>(name, DType::i32); }
    std::vector<float> floats(const std::string& name) const { return values<float>(name, DType::f32); }
    bool has(const std::string& name) const { return file_.find(name) != nullptr; }
    const checkpoint::SafetensorsFile& file() const { return file_; }

    /// Pictures (kind "") or clips (kind "videos") with their grids.
    std::vector<Patches> visuals(const std::string& pixels, const std::string& grids, std::int64_t patch_values) const {
        std::vector<Patches> out;
        if (!has(pixels)) return out;
        const auto all = floats(pixels);
        const auto g = ints(grids);
        std::int64_t at = 0;
        for (std::size_t i = 0; i + 2 < g.size(); i += 3) {
            Patches p;
            p.grid = {g[i], g[i + 1], g[i + 2]};
            const std::int64_t n = p.grid.patches() * patch_values;
            if (g[i] < 1 || g[i + 1] < 1 || g[i + 2] < 1 || n > static_cast<std::int64_t>(all.size()) - at)
                throw LoadError(file_.path(), pixels, "patches for every grid of " + grids,
                                std::to_string(all.size()) + " values");
            p.values.assign(all.begin() + at, all.begin() + at + n);
            at += n;
            out.push_back(std::move(p));
        }
        return out;
    }

  private:
    const checkpoint::SafetensorsFile& file_;
};

/// Runs the case in prefill chunks of `chunk` tokens (0: whole) and compares every tensor recorded in it. Throws where
/// the case does not fit the model.
template <class M>
std::vector<GoldenRow> check_golden_case(const M& model, const checkpoint::SafetensorsFile& file, int chunk,
                                         int threads = 0) {
    using D = typename M::dims;
    const GoldenCase golden(file);
    std::map<std::string, std::vector<float>> ours;
    const auto keep = [&](const std::string& name, ConstMatrix rows) {
        auto& v = ours[name];
        for (std::int64_t r = 0; r < rows.rows; ++r) v.insert(v.end(), rows.row(r), rows.row(r) + rows.cols);
    };
    const TensorHook hook = [&](std::string_view name, int index, ConstMatrix rows) {
        const bool numbered = name == "text.layer" || name == "vision.block" || name == "vision.deepstack" ||
                              name == "fusion.before_layer";
        keep(std::string(name) + (numbered ? "." + std::to_string(index) : ""), rows);
    };

    Prompt prompt{golden.ints("input_ids"), {}};
    const auto forced = golden.ints("forced_ids");
    const int total = static_cast<int>(prompt.tokens.size() + forced.size());
    StandaloneSession<M> session(model, {.context = total,
                                         .chunk = chunk > 0 ? chunk : total,
                                         .threads = threads,
                                         .offload_folder = std::filesystem::temp_directory_path().string()});
    std::vector<GoldenRow> rows;
    if constexpr (VisionLanguageDims<D>) {
        std::vector<std::shared_ptr<const VisualFeatures>> pictures, clips;
        for (const auto& p : golden.visuals("pixel_values", "image_grid_thw", D::vision.patch_values()))
            pictures.push_back(encode(session.workspace(), p, {}, hook));
        for (const auto& p : golden.visuals("pixel_values_videos", "video_grid_thw", D::vision.patch_values()))
            clips.push_back(encode(session.workspace(), p, {}, hook));
        std::size_t picture = 0, clip = 0;
        for (std::size_t i = 0; i < prompt.tokens.size();) {  // in the order of their pads
            const bool still = prompt.tokens[i] == D::tokens.image;
            if (!still && prompt.tokens[i] != D::tokens.video) {
                ++i;
                continue;
            }
            auto& list = still ? pictures : clips;
            auto& next = still ? picture : clip;
            if (next == list.size()) throw LoadError(file.path(), "input_ids", "as many pads as grids", "more");
            const auto& f = list[next++];
            prompt.visuals.push_back(f);
            for (std::int64_t left = f->span_tokens() * f->grid.t; left > 0 && i < prompt.tokens.size(); ++i)
                left -= prompt.tokens[i] == (still ? D::tokens.image : D::tokens.video);
        }
    }
    const auto compare_ints = [&](const std::string& name, const std::vector<int>& found) {
        if (!golden.has(name)) return;
        const auto expected = golden.ints(name);
        GoldenRow row{name, 0, 0, expected == found, ""};
        for (std::size_t i = 0; i < expected.size() && i < found.size(); ++i)
            row.absolute = std::max(row.absolute, std::abs(static_cast<double>(expected[i]) - found[i]));
        rows.push_back(row);
    };
    {
        std::vector<VisualGrid> grids;
        for (const auto& v : prompt.visuals) grids.push_back({v->grid, v->merge, v->places, v->stand_in});
        std::optional<TokenIds> ids;
        if constexpr (VisionLanguageDims<D>) ids = D::tokens;
        const Layout layout = lay_out(prompt.tokens, grids, ids, 0);
        std::vector<int> flat;
        for (std::size_t axis = 0; axis < 3; ++axis)
            for (const auto& p : layout.positions) flat.push_back(p[axis]);
        compare_ints("position_ids", flat);
    }
    session.append(prompt, {.progress = {}, .hook = hook, .hidden = nullptr});
    compare_ints("rope_delta", {static_cast<int>(session.rope_delta())});
    for (const int token : forced) {
        session.append(token);
        keep("forced_logits", {session.logits().data(), 1, D::text.vocab, D::text.vocab});
    }
    for (const auto& [name, t] : file.tensors()) {
        if (t.dtype != DType::f32 || name.starts_with("pixel_values")) continue;
        GoldenRow row{name, 0, 0, false, ""};
        const auto expected = golden.floats(name);
        const auto found = ours.find(name);
        if (found == ours.end())
            row.note = "the model computes no such tensor";
        else if (found->second.size() != expected.size())
            row.note = "expected " + std::to_string(expected.size()) + " values, computed " +
                       std::to_string(found->second.size());
        else {
            double largest = 0;
            bool finite = true;
            for (std::size_t i = 0; i < expected.size(); ++i) {
                const double d = std::abs(static_cast<double>(expected[i]) - static_cast<double>(found->second[i]));
                finite = finite && std::isfinite(d);
                row.absolute = std::max(row.absolute, d);
                largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
            }
            row.relative = largest > 0 ? row.absolute / largest : row.absolute;
            row.pass = finite && row.relative <= golden_tolerance;
            if (!finite) row.note = "not finite";
        }
        rows.push_back(row);
    }
    return rows;
}

}  // namespace qwen3vl::testing
