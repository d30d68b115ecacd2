#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <qwen3vl/memory/pages.hpp>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::memory {

/// Free blocks of `units` units in a buddy system (Knuth, TAOCP vol. 1, 2.5, algorithms R and S): a block of order k
/// has 2^k units.
///
/// Blocks are nodes of a binary tree: node n has the halves 2n and 2n + 1 and the buddy n ^ 1, and begins with the unit
/// of leaf n << k. The units are the tree's last leaves. If their number is no power of two, they have several roots
/// that grow with their addresses. All roots are right halves, whose buddies are outside and never free. The links of
/// the free lists lie beside the blocks, one order after another.
class BuddyTree {
  public:
    using Node = std::uint32_t;  ///< number of a node, 1 being the first root
    /// Largest number of units that a Node can address.
    static constexpr std::int64_t most_units = std::int64_t{1} << 31;

    BuddyTree() = default;
    /// Makes all units free. `units`: 0 to most_units. Throws OutOfMemory.
    explicit BuddyTree(std::int64_t units) {
        if (units == 0) return;
        const auto n = static_cast<std::uint64_t>(units), leaves = std::bit_ceil(n);
        links_ = Pages(static_cast<std::int64_t>(2 * leaves * sizeof(Link)));
        links_.advise(MADV_NOHUGEPAGE);  // few of them are ever used
        begin_ = 2 * leaves - n;
        for (std::uint64_t rest = n; rest != 0; rest &= rest - 1) {
            const int order = std::countr_zero(rest);
            push(static_cast<Node>((2 * leaves - rest) >> order), order);
        }
    }
    BuddyTree(BuddyTree&& o) noexcept { *this = std::move(o); }
    BuddyTree& operator=(BuddyTree&& o) noexcept {
        std::swap(links_, o.links_);
        std::swap(begin_, o.begin_);
        std::swap(first_, o.first_);
        std::swap(orders_, o.orders_);
        std::swap(splits_, o.splits_);
        std::swap(joins_, o.joins_);
        return *this;
    }

    /// True if a block of this order, 0 to 63, can be had.
    bool has(int order) const { return orders_ >> order != 0; }
    /// Takes a block, cut from the smallest free one that is large enough, and returns its first unit; has(order)
    /// holds.
    std::int64_t take(int order) { return take(order, order + std::countr_zero(orders_ >> order)); }
    /// Takes a block, cut from the free one with the lowest address; nothing where that is not below unit `limit`.
    /// Needs sort() before the first call, and no give() since.
    std::optional<std::int64_t> take_lowest(int order, std::int64_t limit) {
        int from = -1;
        std::uint64_t lowest = begin_ + static_cast<std::uint64_t>(limit);
        for (std::uint64_t rest = orders_ >> order << order; rest != 0; rest &= rest - 1) {
            const int k = std::countr_zero(rest);
            const std::uint64_t leaf = static_cast<std::uint64_t>(first_[static_cast<std::size_t>(k)]) << k;
            if (leaf < lowest) {
                lowest = leaf;
                from = k;
            }
        }
        if (from < 0) return std::nullopt;
        return take(order, from);
    }
    /// Frees a block that was taken, and joins it with its buddy as long as that is free.
    void give(std::int64_t unit, int order) {
        auto node = static_cast<Node>((begin_ + static_cast<std::uint64_t>(unit)) >> order);
        for (; links()[node ^ 1].previous != 0; node >>= 1, ++order, ++joins_) remove(node ^ 1, order);
        push(node, order);
    }
    /// Puts the free blocks of each order into the order of their addresses.
    void sort() {
        std::vector<Node> nodes;
        for (std::uint64_t rest = orders_; rest != 0; rest &= rest - 1) {
            const int order = std::countr_zero(rest);
            nodes.clear();
            for (Node n = first_[static_cast<std::size_t>(order)]; n != 0; n = links()[n].next) nodes.push_back(n);
            std::sort(nodes.begin(), nodes.end());
            for (const Node n : nodes) remove(n, order);
            for (auto n = nodes.rbegin(); n != nodes.rend(); ++n) push(*n, order);
        }
    }

    /// Units of the largest free block.
    std::int64_t largest() const { return static_cast<std::int64_t>(std::bit_floor(orders_)); }
    /// Blocks halved so far.
    std::int64_t splits() const { return splits_; }
    /// Pairs of blocks joined so far.
    std::int64_t joins() const { return joins_; }

  private:
    /// previous: 0 for a node that is not a free block; the node itself for the first of its list. next: 0 for the
    /// last.
    struct Link {
        Node next, previous;
    };
    Link* links() const { return reinterpret_cast<Link*>(links_.data()); }

    void push(Node node, int order) {
        Node& first = first_[static_cast<std::size_t>(order)];
        links()[node] = {first, node};
        if (first != 0) links()[first].previous = node;
        first = node;
        orders_ |= std::uint64_t{1} << order;
    }
    void remove(Node node, int order) {
        Node& first = first_[static_cast<std::size_t>(order)];
        const auto [next, previous] = links()[node];
        links()[node] = {};
        if (next != 0) links()[next].previous = previous == node ? next : previous;
        if (previous != node)
            links()[previous].next = next;
        else if (first = next; next == 0)
            orders_ &= ~(std::uint64_t{1} << order);
    }
    std::int64_t take(int order, int from) {
        Node node = first_[static_cast<std::size_t>(from)];
        remove(node, from);
        splits_ += from - order;
        while (from > order) {
            node *= 2;
            push(node + 1, --from);
        }
        return static_cast<std::int64_t>((static_cast<std::uint64_t>(node) << order) - begin_);
    }

    Pages links_;                   ///< Link [nodes]
    std::uint64_t begin_ = 0;       ///< leaf of the first unit
    std::array<Node, 32> first_{};  ///< first free block of each order
    std::uint64_t orders_ = 0;      ///< bit k: a block of order k is free
    std::int64_t splits_ = 0, joins_ = 0;
};

}  // namespace qwen3vl::memory
