#pragma once
#include <qwen3vl/session/session.hpp>

/// Sessions of any model, for tests and benches.
namespace qwen3vl::inline QWEN3VL_ABI::testing {

/// A session of any model: as Session(model, options).
template <class M>
struct StandaloneSession : Session<M> {
    explicit StandaloneSession(const M& model, const SessionOptions& options = {}) : Session<M>(model, options) {}
};

namespace detail {
template <class M>
struct OwnPool {
    PagePool<M> pool;
};
}  // namespace detail

/// A session on a pool of its own that holds its context.
template <class M>
requires Session<M>::can_share struct StandaloneSession<M> : detail::OwnPool<M>, Session<M> {
    explicit StandaloneSession(const M& model, const SessionOptions& options = {})
        : detail::OwnPool<M>{PagePool<M>(model, {.tokens = options.context})}, Session<M>(this->pool, options) {}
};

}  // namespace qwen3vl::testing
