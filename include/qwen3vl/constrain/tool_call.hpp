#pragma once
#include <memory>
#include <qwen3vl/constrain/json_schema.hpp>
#include <span>
#include <string>
#include <vector>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Answers that are a call of one of these tools, `{"name": "…", "arguments": {…}}` with arguments that satisfy its
/// `parameters`. A tool is a JSON object with a name, by itself or as `function` of another, as chat templates take
/// them. Throws GrammarError as json_schema(), and where there is no tool.
Grammar tool_call(std::span<const std::string> tools, const JsonOptions& options = {});

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Grammar tool_call(std::span<const std::string> tools, const JsonOptions& options) {
    if (tools.empty()) throw GrammarError("tool call: expected at least one tool, found none");
    Rules rules(options.limits);
    const State start = rules.add_state(), end = rules.add_state(true);
    const bool compact = options.space == JsonSpace::compact;
    for (std::size_t i = 0; i < tools.size(); ++i) {
        const std::string what = "tool " + std::to_string(i);
        if (tools[i].size() > options.limits.text) throw GrammarError(what + ": longer than the limit");
        const JsonDocument document(tools[i], what);
        const JsonNode* function = document.root().find("function");
        if (!function) function = &document.root();
        const JsonNode *name = function->find("name"), *parameters = function->find("parameters");
        if (!name || !name->is(JsonNode::Type::string)) throw GrammarError(what + ": expected a name, a string");
        const JsonDocument object(R"({"type": "object"})", what);
        const State arguments =
            rules.literal(start, std::string(compact ? "{\"name\":\"" : "{\"name\": \"") + json_escaped(name->text) +
                                     (compact ? "\",\"arguments\":" : "\", \"arguments\": "));
        const State called = rules.add_state();
        try {
            SchemaReader reader(parameters ? *parameters : object.root(), options.limits, options.close_objects);
            Conjunction schemas{&object.root()};
            if (parameters) schemas = both(schemas, {parameters});
            rules.call(arguments, SchemaRules(reader, rules, options.space, options.limits).add(schemas), called);
        } catch (const GrammarError& e) {
            throw GrammarError(what + ": " + e.what());
        }
        rules.literal(called, "}", end);
    }
    rules.finish(start, all_bytes());
    return Grammar(std::move(rules));
}

#endif

}  // namespace qwen3vl::constrain
