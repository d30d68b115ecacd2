#pragma once
#include <array>
#include <qwen3vl/constrain/matcher.hpp>
#include <qwen3vl/constrain/regex.hpp>
#include <qwen3vl/constrain/schema_keywords.hpp>
#include <qwen3vl/constrain/schema_rules.hpp>
#include <string>
#include <string_view>

namespace qwen3vl::inline QWEN3VL_ABI::constrain {

/// Options of JSON answers: how they are written, and what a schema may take.
struct JsonOptions {
    JsonSpace space = JsonSpace::spaced;  ///< between the parts of the text
    bool close_objects = false;           ///< objects with `properties` that say nothing of other members have none
    Limits limits = {};                   ///< of the grammar
};

/// Answers that are a JSON text of a value that satisfies a JSON schema (draft 2020-12). Every answer is valid. Not
/// every valid text is an answer: members come in the schema's order, strings under a pattern and names escape no
/// character that needs none, integers have no fraction and no exponent; NumberRules and SchemaFormats tell of numbers
/// and formats.
///
/// Throws GrammarError, with a JSON pointer, for what is malformed or not supported, and where nothing satisfies the
/// schema.
Grammar json_schema(std::string_view schema, const JsonOptions& options = {});

/// Answers that are any JSON object.
inline Grammar json_object(const JsonOptions& options = {}) { return json_schema(R"({"type": "object"})", options); }

/// Answers that name objects of a picture by their boxes, as image::parse_detections reads them: a list of
/// `{"bbox_2d": [x1, y1, x2, y2], "label": "…"}` in thousandths of the picture's sides.
inline Grammar boxes(const JsonOptions& options = {}) {
    return json_schema(R"({"type": "array", "items": {"type": "object", "properties": {
        "bbox_2d": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 1000},
                    "minItems": 4, "maxItems": 4},
        "label": {"type": "string", "maxLength": 200}},
        "required": ["bbox_2d", "label"], "additionalProperties": false}})",
                       options);
}

#if QWEN3VL_DEFINES_SUPPORT

QWEN3VL_SUPPORT Grammar json_schema(std::string_view schema, const JsonOptions& options) {
    const Limits& limits = options.limits;
    if (schema.size() > limits.text)
        throw GrammarError("schema: " + std::to_string(schema.size()) + " bytes, at most " +
                           std::to_string(limits.text) + " are read");
    const JsonDocument document(schema, "schema");
    SchemaReader reader(document.root(), limits, options.close_objects);
    Rules rules(limits);
    const State start = SchemaRules(reader, rules, options.space, limits).add({&document.root()});
    try {
        rules.finish(start, all_bytes());
    } catch (const GrammarError& e) {
        throw GrammarError("schema: #: " + std::string(e.what()));
    }
    return Grammar(std::move(rules));
}

#endif

}  // namespace qwen3vl::constrain
