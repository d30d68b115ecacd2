#pragma once
#include <qwen3vl/core/list.hpp>
#include <qwen3vl/position/approximate.hpp>
#include <qwen3vl/position/interpolated_table.hpp>
#include <qwen3vl/position/learned.hpp>
#include <qwen3vl/position/rope_scaling.hpp>
#include <qwen3vl/position/rotary.hpp>

/// Positions of tokens and patches: rotations of queries and keys, and embeddings that are added.
namespace qwen3vl::inline QWEN3VL_ABI::position {

/// The vision tower's two: a table added to the patches, and a rotation of queries and keys.
///     VisionPolicies<>::with_position<position::Grid2D<>>
template <class Table = InterpolatedTable, class Rotary = Axial>
struct Grid2D {
    static constexpr const char* name = "Grid2D";
    using table = Table;    ///< gives the embedding that is added to a patch
    using rotary = Rotary;  ///< gives the angles of queries and keys
};

/// Every text position policy: feeds the conformance tests and the bench.
using text_all = list<MRopeInterleaved, Rope, NTK<MRopeInterleaved, Factor{4}>,
                      YaRN<MRopeInterleaved, YarnOptions{.factor = 4}>, Approximate<MRopeInterleaved>>;
/// Every position policy of the tower: feeds the conformance tests and the bench.
using vision_all = list<Grid2D<>>;

}  // namespace qwen3vl::position
