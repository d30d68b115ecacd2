#pragma once
#include <qwen3vl/concepts/named.hpp>

/// Requirements on the policies of the machine: execution, memory, instruction set.
namespace qwen3vl::inline QWEN3VL_ABI::concepts {

/// Execution policies have a team, made of a number of threads.
template <class E>
concept HasTeam = requires {
    typename E::Team;
}
&&std::constructible_from<typename E::Team, int>&& requires(const typename E::Team& t) {
    { t.threads() } -> std::same_as<int>;
};
/// Execution policies tell how many threads a team of so many asked for has.
template <class E>
concept StatesTeamSize = requires {
    { E::team_size(0) } -> std::same_as<int>;
};
/// Teams run tasks, on as many threads as they are limited to.
template <class E>
concept RunsTasks = requires(typename E::Team& team, std::int64_t count, const AnyTask& task) {
    team.run(count, task);
    team.limit(0);
};
/// A Team runs tasks: run(count, f(task, thread)), limit(threads), prefetch(count, f(task)).
template <class E>
concept Execution = Named<E> && HasTeam<E> && StatesTeamSize<E> && RunsTasks<E>;

/// Memory policies are made of bytes, and tell how many of them a block takes.
template <class M>
concept StatesFootprint = std::constructible_from<M, std::int64_t> && requires(std::int64_t n) {
    { M::footprint(n) } -> std::same_as<std::int64_t>;
};
/// Memory policies hand out blocks.
template <class M>
concept GivesBlocks = requires(M& m, std::int64_t n) {
    m.take(n);
};
/// A block of `footprint` sums, which take(bytes) hands out piece by piece.
template <class M>
concept Memory = Named<M> && StatesFootprint<M> && GivesBlocks<M>;

/// Instruction sets tell their vectors' width, and whether file and CPU have them.
template <class A>
concept Arch = Named<A> && requires {
    { A::floats } -> std::convertible_to<int>;
    { A::compiled } -> std::convertible_to<bool>;
    { A::supported() } -> std::same_as<bool>;
};

}  // namespace qwen3vl::concepts
