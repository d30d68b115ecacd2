#!/usr/bin/env python3
"""Checks answers to random schemas with the package `jsonschema`.

    python3 -m venv venv && venv/bin/pip install jsonschema
    venv/bin/python tests/constrain/check_random_schemas.py build/release/tests/constrain/schema_answers

With rfc3339-validator and rfc3986-validator installed, times and URIs are checked too. Each schema is answered by random
logits at temperature 2. Every answer that came to its end must be JSON that the schema allows. Prints how many answers were valid, cut short and refused, and exits with 1 where one is invalid.
"""
import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORDS = ["name", "id", "größe", "a b", 'quo"te', "x", "list", "next", "kind", "ключ", "value", "n_1", "n_2"]
PATTERNS = ["^[a-z]{2,5}$", "^[A-Z][a-z]*( [A-Z][a-z]*)?$", "[0-9]", "^\\d{3}-\\d{2}$", "^(foo|bar)+$", "é",
            "^[^x]*$", "^\\w+@\\w+$"]
FORMATS = ["date", "time", "date-time", "email", "uuid", "ipv4", "ipv6", "uri"]


class Schemas:
    """Random schemas; those that may be refused or have no value are among them, but rare."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def schema(self, depth):
        r = self.random
        kinds = ["integer", "number", "string", "enum", "boolean", "null", "const"]
        if depth > 0:
            kinds += ["object"] * 5 + ["array"] * 3 + ["anyOf", "oneOf", "allOf", "ref", "types", "open"]
        return getattr(self, "make_" + r.choice(kinds))(depth)

    def bounds(self, low, high, scale):
        r, s = self.random, {}
        a, b = sorted([r.randint(low, high) / scale, r.randint(low, high) / scale])
        if scale == 1:
            a, b = int(a), int(b)
        if r.random() < 0.6:
            s[r.choice(["minimum", "minimum", "exclusiveMinimum"])] = a
        if r.random() < 0.6:
            s[r.choice(["maximum", "maximum", "exclusiveMaximum"])] = b + (2 if scale == 1 else 0.5)
        return s

    def make_integer(self, depth):
        s = {"type": "integer", **self.bounds(-2000, 2000, 1)}
        if self.random.random() < 0.2:
            s["multipleOf"] = self.random.choice([2, 3, 5, 10])
            s.pop("maximum", None), s.pop("exclusiveMaximum", None)
        return s

    def make_number(self, depth):
        return {"type": "number", **self.bounds(-5000, 5000, self.random.choice([1, 10, 1000]))}

    def make_string(self, depth):
        r, s = self.random, {"type": "string"}
        kind = r.random()
        if kind < 0.35:
            low = r.randint(0, 6)
            s.update({"minLength": low, "maxLength": low + r.randint(0, 20)})
        elif kind < 0.6:
            s["pattern"] = r.choice(PATTERNS)
            if r.random() < 0.4:
                s["maxLength"] = r.randint(6, 30)
        elif kind < 0.8:
            s["format"] = r.choice(FORMATS)
        return s

    def values(self):
        r = self.random
        others = [True, None, 2.5, [1, "a"], {"k": [None]}, "", "line\nend"]
        return r.choice([r.randint(-50, 50), r.choice(WORDS), *others])

    def make_enum(self, depth):
        return {"enum": [self.values() for _ in range(self.random.randint(1, 6))]}

    def make_const(self, depth):
        return {"const": self.values()}

    def make_boolean(self, depth):
        return {"type": "boolean"}

    def make_null(self, depth):
        return {"type": "null"}

    def make_types(self, depth):
        types = self.random.sample(["integer", "string", "null", "boolean", "array"], 2)
        return {"type": types, "maxItems": 2, "maxLength": 5, "minimum": 3}

    def make_open(self, depth):
        return self.random.choice([True, {}, {"type": "object"}, {"type": "array"}, {"title": "anything"}])

    def make_array(self, depth):
        r, s = self.random, {"type": "array"}
        if r.random() < 0.8:
            s["items"] = self.schema(depth - 1)
        if r.random() < 0.3:
            s["prefixItems"] = [self.schema(depth - 1) for _ in range(r.randint(1, 3))]
        if r.random() < 0.6:
            s["minItems"] = r.randint(0, 3)
            s["maxItems"] = s["minItems"] + r.randint(0, 4)
        return s

    def make_object(self, depth):
        r = self.random
        names = r.sample(WORDS, r.randint(0, 5))
        s = {"type": "object", "properties": {n: self.schema(depth - 1) for n in names}}
        s["required"] = [n for n in names if r.random() < 0.6]
        kind = r.random()
        if kind < 0.6:
            s["additionalProperties"] = False
        elif kind < 0.8:
            s["additionalProperties"] = self.schema(depth - 1)
        if r.random() < 0.15:
            s["patternProperties"] = {"^n_": self.schema(0)}
        if r.random() < 0.1:
            s["maxProperties"] = max(1, len(s["required"])) + r.randint(0, 2)
        if r.random() < 0.1 and names:
            s["minProperties"] = 1
        if r.random() < 0.05:
            s["propertyNames"] = {"maxLength": 8}
        return s

    def make_anyOf(self, depth):
        return {"anyOf": [self.schema(depth - 1) for _ in range(self.random.randint(1, 3))]}

    def make_oneOf(self, depth):
        r = self.random
        if r.random() < 0.5:
            return {"oneOf": [{"type": "integer"}, {"type": "string"}, self.make_array(depth)]}
        branch = lambda k: {"type": "object", "properties": {"kind": {"const": k}, "value": self.schema(depth - 1)},
                            "required": ["kind", "value"], "additionalProperties": r.random() < 0.5}
        return {"oneOf": [branch(k) for k in ("a", "b", "c")]}

    def make_allOf(self, depth):
        other = {"properties": {self.random.choice(WORDS): self.schema(0)}, "maxProperties": 6}
        return {"allOf": [self.make_object(depth), other]}

    def make_ref(self, depth):
        return {"$ref": self.random.choice(["#/$defs/node", "#/$defs/leaf"])}

    def root(self):
        s = self.schema(3)
        if not isinstance(s, dict):
            return s
        return {**s, "$defs": {
            "node": {"type": "object",
                     "properties": {"value": {"$ref": "#/$defs/leaf"},
                                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                     "required": ["value", "next"], "additionalProperties": False},
            "leaf": self.schema(0)}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--schemas", type=int, default=1000)
    parser.add_argument("--answers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--tokenizer", default=str(ROOT / "tests/data/tokenizer-qwen3/tokenizer.json"))
    o = parser.parse_args()
    source = Schemas(o.seed)
    schemas = [source.root() for _ in range(o.schemas)]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for s in schemas:
            file.write(json.dumps(s) + "\n")
        file.flush()
        run = subprocess.run([o.program, o.tokenizer, file.name, str(o.answers), str(o.seed), str(o.temperature)],
                             check=True, stdout=subprocess.PIPE)
    counts, reasons, wrong = collections.Counter(), collections.Counter(), 0
    checker = jsonschema.FormatChecker()
    for line in run.stdout.decode("utf-8").splitlines():
        row = json.loads(line)
        schema = schemas[row["schema"]]
        if "refused" in row:
            counts["refused schemas"] += 1
            reasons[row["refused"].split(": ")[-1][:60]] += 1
            continue
        if not row["ended"]:
            counts["cut short"] += 1
            continue
        try:
            value = json.loads(row["answer"])
            jsonschema.Draft202012Validator(schema, format_checker=checker).validate(value)
            counts["valid"] += 1
        except (ValueError, jsonschema.ValidationError) as e:
            wrong += 1
            print("INVALID", json.dumps(schema), "\n  answer", row["answer"][:500], "\n ", str(e).split("\n")[0][:300])
    print(dict(counts), "invalid:", wrong)
    for reason, n in reasons.most_common(12):
        print(f"  refused {n}: {reason}")
    sys.exit(1 if wrong or not counts["valid"] else 0)


if __name__ == "__main__":
    main()
