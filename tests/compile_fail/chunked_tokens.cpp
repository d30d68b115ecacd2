// expect: qwen3vl: slot attention: Chunked needs a chunk of a multiple of 64 Tokens
#include <qwen3vl/model/model.hpp>

namespace q = qwen3vl;
auto keys = q::attention::Chunked<q::mask::Causal, q::Tokens{100}>::segment_keys;
