#pragma once
/// Answers under a JSON schema, a regular expression or a grammar.
#include <qwen3vl/constrain/ebnf.hpp>
#include <qwen3vl/constrain/json_schema.hpp>
#include <qwen3vl/constrain/matcher.hpp>
#include <qwen3vl/constrain/regex.hpp>
#include <qwen3vl/constrain/tool_call.hpp>
