#!/usr/bin/env python3
"""Measures llguidance and xgrammar on the schemas, answers and vocabulary of bench_constrain.

    python3 -m venv venv && venv/bin/pip install llguidance xgrammar
    venv/bin/python bench/constrain/peers.py [TOKENIZER_FOLDER] [CASES.jsonl]   # needs numpy and tokenizers too

Peers that are not installed are left out, and said to be. Times are of the calls from Python: some microseconds more
than the library's own.
"""
import json
import pathlib
import sys
import time
from importlib.metadata import version

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent.parent / "tests/data/tokenizer-qwen3"
CASES_FILE = sys.argv[2] if len(sys.argv) > 2 else HERE / "cases.jsonl"
CASES = [json.loads(line) for line in open(CASES_FILE, encoding="utf-8")]


def byte_of():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    table = {chr(b): b for b in printable}
    table.update({chr(256 + i): b for i, b in enumerate(others)})
    return table


def vocabulary():
    """Bytes of each token by id, and the ids of added ones."""
    data = json.load(open(FOLDER / "tokenizer.json", encoding="utf-8"))
    table = byte_of()
    size = 1 + max([*data["model"]["vocab"].values(), *(a["id"] for a in data["added_tokens"])])
    tokens = [b""] * size
    for spelled, i in data["model"]["vocab"].items():
        tokens[i] = bytes(table[c] for c in spelled)
    added = {a["id"]: a["content"] for a in data["added_tokens"]}
    for i, content in added.items():
        tokens[i] = content.encode()
    return tokens, added, data


def row(values):
    values = sorted(values)
    at = lambda share: values[min(len(values) - 1, int(share * len(values)))] if values else 0
    mean = sum(values) / max(1, len(values))
    return f"n {len(values)} mean {mean:.1f} p50 {at(0.5):.1f} p99 {at(0.99):.1f} max {at(1):.1f} us"


def measure(name, encode, start):
    """`start(schema)` gives functions that make a mask (whether a token is allowed) and take a token."""
    first, each, failed = [], [], []
    for case in CASES:
        for answer in case["answers"]:
            ids = encode(json.dumps(answer, ensure_ascii=False))
            begin = time.perf_counter()
            try:
                mask, accept = start(json.dumps(case["schema"]))
                for i, token in enumerate(ids):
                    from_ = time.perf_counter()
                    allowed = mask()
                    now = time.perf_counter()
                    if i == 0:
                        first.append((now - begin) * 1e6)
                    each.append((now - from_) * 1e6)
                    if not allowed(token):
                        raise ValueError(f"refuses token {i}")
                    accept(token)
            except Exception as e:  # a schema that the peer does not take
                failed.append(f"{case['name']}: {str(e)[:100]}")
    print(f"{name}: masks {row(each)}")
    print(f"{name}: first mask {row(first)}")
    print(f"{name}: failed {failed}")


class Greedy:
    """Cuts a text as BPE does, by the file's merges and split expression."""

    def __init__(self, data):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_str(json.dumps(data))

    def __call__(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def main():
    tokens, added, data = vocabulary()
    encode = Greedy(data)
    ends = [i for i, content in added.items() if content == "<|im_end|>"]
    try:
        import numpy
        from llguidance import LLMatcher, LLTokenizer

        wrapped = LLTokenizer(json.dumps(data), n_vocab=len(tokens), eos_token=ends[0])
        words = (len(tokens) + 31) // 32
        buffer = numpy.zeros(words, dtype=numpy.int32)

        def start(schema):
            matcher = LLMatcher(wrapped, LLMatcher.grammar_from_json_schema(schema))
            if matcher.is_error():
                raise ValueError(matcher.get_error())

            def mask():
                matcher.unsafe_compute_mask_ptr(buffer.ctypes.data, words * 4)
                return lambda t: bool(int(buffer[t // 32]) >> (t % 32) & 1)

            return mask, matcher.consume_token

        measure("llguidance " + version("llguidance"), encode, start)
    except ImportError as e:
        print("llguidance left out:", e)
    try:
        import torch
        import xgrammar

        info = xgrammar.TokenizerInfo(tokens, vocab_type=xgrammar.VocabType.RAW, vocab_size=len(tokens),
                                      stop_token_ids=ends)

        def start(schema):
            compiled = xgrammar.GrammarCompiler(info, cache_enabled=False, max_threads=1).compile_json_schema(
                schema, any_whitespace=True, strict_mode=False)
            matcher = xgrammar.GrammarMatcher(compiled)
            bits = xgrammar.allocate_token_bitmask(1, len(tokens))

            def mask():
                matcher.fill_next_token_bitmask(bits)
                return lambda t: bool(int(bits[0, t // 32]) >> (t % 32) & 1)

            return mask, matcher.accept_token

        measure("xgrammar " + version("xgrammar"), encode, start)
    except ImportError as e:
        print("xgrammar left out:", e)


if __name__ == "__main__":
    main()
