#pragma once
#include <cstddef>
#include <qwen3vl/mask/block_summary.hpp>

namespace qwen3vl::inline QWEN3VL_ABI::mask {

/// A small learned router: the score of a block is the product of the query and the mean of the block's keys. Both are
/// projected to `Rank` numbers by a matrix of the head (Gao et al., 2024, "SeerAttention: learning intrinsic sparse
/// attention in your LLMs", the gate of section 3.1, with mean pooling). Parameters of each layer: "router.query" and
/// "router.key" [kv_heads, Rank, head_dim].
///     attention::Flash<mask::DynamicSparse<BlockBudget{.keep = 32}, mask::Router<16>>>
template <int Rank>
class Router {
    static_assert(Rank > 0, "qwen3vl: slot mask: Router needs a Rank above 0");

  public:
    static constexpr const char* name = "Router";
    template <class M, class V>
    struct Parameters {
        V query{}, key{};  ///< [kv_heads, Rank, head_dim]
    };
    template <class Dims, class P, class F>
    static void visit_parameters(const Dims& d, P& p, F&& f) {
        f("router.query", Shape{d.kv_heads, Rank, d.head_dim}, p.query);
        f("router.key", Shape{d.kv_heads, Rank, d.head_dim}, p.key);
    }
    /// Refers to the parameters of a layer, which outlive it.
    template <class P>
    Router(const P& p, std::int64_t kv_heads)
        : query_(p.query.data()),
          key_(p.key.data()),
          head_dim_(static_cast<std::int64_t>(p.query.size()) / (kv_heads * Rank)) {}

    /// Numbers to a column.
    static constexpr std::int64_t numbers(std::int64_t /*channels*/) { return Rank; }
    /// column [Rank]
    template <class Key>
    void summarise(std::int64_t kv_head, const Key& key, std::int64_t count, std::int64_t /*channels*/, float* column,
                   std::int64_t stride) const {
        for (int r = 0; r < Rank; ++r) column[r * stride] = 0.0f;
        for (std::int64_t c = 0; c < head_dim_; ++c) {
            float mean = 0.0f;
            for (std::int64_t i = 0; i < count; ++i) mean += key(i, c);
            mean /= static_cast<float>(count);
            for (int r = 0; r < Rank; ++r) column[r * stride] += row(key_, kv_head, r)[c] * mean;
        }
    }
    /// Row [Rank] whose product with a column is the score: the query, projected.
    void query(std::int64_t kv_head, const float* q, std::int64_t /*channels*/, float* out) const {
        for (int r = 0; r < Rank; ++r) {
            out[r] = 0.0f;
            for (std::int64_t c = 0; c < head_dim_; ++c) out[r] += row(query_, kv_head, r)[c] * q[c];
        }
    }

  private:
    const float* row(const float* matrix, std::int64_t kv_head, int r) const {
        return matrix + (kv_head * Rank + r) * head_dim_;
    }

    const float *query_, *key_;  // [kv_heads, Rank, head_dim]
    std::int64_t head_dim_;
};

}  // namespace qwen3vl::mask
