"""test_scripts.py BENCH_DIR: bench/compare, bench/plot, bench/table and bench/catalogue as people run them."""

import copy
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

BENCH = sys.argv.pop(1)
SVG = "{http://www.w3.org/2000/svg}"


def row(work, bundle, value, unit, limit, **more):
    share = None if limit is None else value / limit if unit == "tokens/s" else limit / value
    return {
        "work": work,
        "bundle": bundle,
        "arch": "avx2",
        "threads": 2,
        "value": value,
        "unit": unit,
        "limit": limit,
        "share": share,
        "peak_memory_bytes": 1 << 30,
        **more,
    }


RESULT = {
    "machine": "A <CPU> & more",
    "dims": "Qwen3VL_2B",
    "limits": {"read_GB/s": 50.0},
    "rows": [
        row("decode", "bf16", 10.0, "tokens/s", 12.0),
        row("decode", "int8", 18.0, "tokens/s", 24.0),
        row("prefill512", "bf16", 60.0, "tokens/s", 68.0),
        row("image512", "bf16", 3.0, "s", 2.0),
        row("ttft.preprocess", "bf16", 0.1, "s", None),
    ],
}
PEERS = {
    "machine": "A <CPU> & more",
    "dims": "Qwen3VL_2B",
    "peer_version": "x",
    "rows": [
        row("decode", "bf16", 9.0, "tokens/s", None, peer="llama.cpp", format="bf16"),
        row("decode", "int8", 14.0, "tokens/s", None, peer="llama.cpp", format="q8_0"),
        row("decode", "nf4", 14.0, "tokens/s", None, peer="llama.cpp", format="none of ours"),
    ],
}


def policy(slot, attention, mask, cache, codec):
    return {"slot": slot, "attention": attention, "mask": mask, "cache": cache, "codec": codec}


def curve(exponent, against_dense, kv_bytes):
    return {
        "time_exponent": exponent,
        "scratch_exponent": None,
        "points": [
            {"tokens": n, "ms": 1.0, "against_dense": against_dense, "kv_bytes": kv_bytes and kv_bytes * n}
            for n in (256, 4096, 16384)
        ],
    }


CAUSAL = [policy("attention", a, "Causal", "Contiguous", "bf16") for a in ("Dense", "Flash", "Chunked")] + [
    policy("attention", "Linear", "Causal", "Recurrent", "float32")
]
MASKED = [
    policy("attention", "Flash", m, "Contiguous", "bf16")
    for m in ("SlidingWindow", "BlockSparse", "ByModality", "Tempered", "BidirectionalPictures", "DynamicSparse")
]
CACHES = [policy("kv_cache", "Flash", "Causal", "Contiguous", c) for c in ("float32", "bf16", "int8", "int4")] + [
    policy("kv_cache", "Flash", "SlidingWindow", "Ring", "bf16"),
    policy("kv_cache", "Flash", "Causal", "CrossLayer", "bf16"),
    policy("kv_cache", "Flash", "Causal", "Hybrid", "int4"),
    policy("kv_cache", "Flash", "Causal", "ByModality", "bf16+int4"),
    *(policy("kv_cache", "Flash", "Causal", "LowRank", codec) for codec in ("bf16", "truncated_rank")),
    *(
        policy("kv_cache", "Flash", "Causal", f"Evicting/{rating}", "bf16")
        for rating in ("HeavyHitters", "LatestQueries", "Age")
    ),
    *(policy("kv_cache", "Flash", "Causal", cache, "bf16") for cache in ("Offloaded", "Paged")),
]
TOWER = [policy("vision", "Flash", m, "", "") for m in ("Full", "GridWindow")]
SCALING = {
    "machine": "m",
    "positions": ["MRopeInterleaved", "Rope", "NTK", "YaRN", "Approximate"],
    "rows": [{**p, **curve(1.98, 0.4, 114688)} for p in CAUSAL + MASKED + CACHES]
    + [{**p, **curve(1.0, 0.02, None)} for p in TOWER],
}
NEEDLE = {
    "rows": [
        {**p, "tokens": n, "beginning": 1.0, "middle": 0.5, "end": 2e-7}
        for n in (4096, 16384)
        for p in CAUSAL + MASKED + CACHES
    ]
}


def bundle(name, mask, keys_seen, accuracy, vision_mask="Full"):
    return {
        "bundle": name,
        "attention": "Flash",
        "mask": mask,
        "cache": "Contiguous",
        "codec": "bf16",
        "position": "MRopeInterleaved",
        "vision_attention": "Flash",
        "vision_mask": vision_mask,
        "accuracy": accuracy,
        "keys_seen": keys_seen,
    }


QUALITY = {
    "rows": [
        bundle("patch_windows", "Causal", 1.0, 90.0, "GridWindow, Full"),
        bundle("bf16", "Causal", 1.0, 100.0),
        bundle("long_window", "SlidingWindow", 0.9, 99.0),
        bundle("window", "SlidingWindow", 0.5, 87.125),
    ]
}
TEXTS = {
    "reference_perplexity": 19.125,
    "rows": [
        {**bundle("window_1000", "SlidingWindow", None, 0.0), "perplexity": 19.8},
        {**bundle("kv_bf16", "Causal", None, 0.0), "perplexity": 19.5},
    ],
}


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def run_script(self, name, *arguments):
        return subprocess.run(
            [sys.executable, os.path.join(BENCH, name), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def compare(self, old, new):
        return self.run_script("compare", self.file("old.json", old), self.file("new.json", new))

    def changed(self, index, **fields):
        result = copy.deepcopy(RESULT)
        result["rows"][index].update(fields)
        return result

    def test_a_table(self):
        done = self.run_script("table", self.file("result.json", RESULT), self.file("peers.json", PEERS))
        self.assertEqual(done.returncode, 0, done.stderr)
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
        self.assertEqual(len(cells), 2 + len(RESULT["rows"]))
        self.assertEqual(cells[2], ["decode", "bf16", "avx2", "2", "10 tokens/s", "12", "83%", "llama.cpp bf16 9"])
        self.assertEqual(cells[-1], ["ttft.preprocess", "bf16", "avx2", "2", "0.1 s", "", "", ""])
        done = self.run_script("table", self.file("tiles.json", self.changed(0, share=0.2, vector_share=1.5)))
        self.assertIn("| 20%, 150% without AMX |", done.stdout)
        for wrong in (PEERS, b"no result"):
            done = self.run_script("table", self.file("wrong.json", wrong))
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertTrue(done.stderr.startswith("table: "), done.stderr)

    def catalogue(self, scaling=None, needle=None, quality=None, texts=None):
        files = (
            ("scaling.json", scaling or SCALING),
            ("needle.json", needle or NEEDLE),
            ("quality.json", quality or QUALITY),
            ("texts.json", texts or TEXTS),
        )
        done = self.run_script("catalogue", *(self.file(name, content) for name, content in files))
        return done, {
            cells[0]: cells[1:]
            for cells in ([c.strip() for c in line.strip("|").split("|")] for line in done.stdout.splitlines())
        }

    def test_a_catalogue(self):
        done, table = self.catalogue()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(table), 2 + len(SCALING["rows"]) + len(SCALING["positions"]))
        self.assertEqual(table["policy"][1], "time at 4096, Dense = 1")
        self.assertEqual(
            table["`Flash<Causal>`"],
            [
                "softmax over every earlier key",
                "0.40",
                "1.98",
                "114688",
                "1, 0.5, 2e-07",
                "100 % `bf16`",
                "19.50 `kv_bf16`",
            ],
        )
        self.assertEqual(table["policy"][-1], "perplexity of a text, 19.12 in float32")
        self.assertEqual(table["`Flash<SlidingWindow>`"][-1], "19.80 `window_1000`")
        self.assertEqual(
            table["`Contiguous<bf16>`"][-1], "19.50 `kv_bf16`"
        )  # not that of the window, which stands before it
        self.assertEqual(table["`Ring<bf16>`"][0], "the latest tokens and the sinks, 8 bits of the mantissa")
        self.assertEqual(
            table["`Flash<Full>`"],
            ["softmax over every patch of the picture", "0.02", "1.00", "", "", "100 % `bf16`", ""],
        )
        self.assertEqual(
            table["`Flash<GridWindow>`"],
            ["softmax over the patches of its window", "0.02", "1.00", "", "", "90 % `patch_windows`", ""],
        )
        self.assertEqual(table["`MRopeInterleaved`"], ["the trained angles", "", "", "", "", "100 % `bf16`", ""])

    def test_the_page_of_the_catalogue_is_that_of_the_docstrings(self):
        done = self.run_script("catalogue_page")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(BENCH, "catalogue.md"), encoding="utf-8") as page:
            self.assertEqual(page.read(), done.stdout, "bench/catalogue_page > bench/catalogue.md makes it anew")

    def test_windows_longer_than_half_of_the_prompt_say_nothing(self):
        self.assertEqual(self.catalogue()[1]["`Flash<SlidingWindow>`"][-2], "87.12 % `window`")
        only_long = {"rows": [row for row in QUALITY["rows"] if row["bundle"] != "window"]}
        self.assertEqual(self.catalogue(quality=only_long)[1]["`Flash<SlidingWindow>`"][-2], "")

    def test_cells_of_what_was_not_measured_are_empty(self):
        scaling = copy.deepcopy(SCALING)
        scaling["rows"][1].update(time_exponent=None)
        for point in scaling["rows"][1]["points"]:
            point["against_dense"] = None
        needle = {"rows": NEEDLE["rows"][-1:]}
        done, table = self.catalogue(scaling, needle, {"rows": []}, {"reference_perplexity": 1, "rows": []})
        self.assertEqual(
            (done.returncode, table["`Flash<Causal>`"][1:]), (0, ["", "", "114688", "", "", ""]), done.stderr
        )

    def test_every_policy_has_a_phrase_and_every_phrase_a_policy(self):
        new = {**SCALING, "positions": SCALING["positions"] + ["Learned"]}
        fewer = {**SCALING, "rows": [row for row in SCALING["rows"] if row["mask"] != "BlockSparse"]}
        for scaling, message in (
            (new, "position Learned has no phrase"),
            (fewer, "mask BlockSparse has a phrase in KEEPS and is not measured"),
        ):
            done, _ = self.catalogue(scaling)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(message, done.stderr)

    def test_a_catalogue_of_files_that_are_no_results(self):
        def changed(result, **fields):
            return {**result, "rows": [{**result["rows"][0], **fields}, *result["rows"][1:]]}

        bad = [
            ({"scaling": changed(SCALING, slot="norm")}, "scaling.json: rows[0]: field 'slot'"),
            ({"scaling": changed(SCALING, points=[1])}, "scaling.json: rows[0].points[0]: expected an object"),
            (
                {"scaling": changed(SCALING, points=[{"tokens": 0}])},
                "scaling.json: rows[0].points[0]: field 'kv_bytes'",
            ),
            ({"scaling": {**SCALING, "positions": [1]}}, "scaling.json: positions: field '0': expected a string"),
            ({"scaling": b"{"}, "scaling.json: not valid JSON"),
            ({"needle": changed(NEEDLE, tokens=1e9, middle=None)}, "needle.json: rows[0]: field 'middle'"),
            (
                {"quality": changed(QUALITY, accuracy=-1)},
                "quality.json: rows[0]: field 'accuracy': expected a number from 0 on",
            ),
            ({"texts": {"rows": []}}, "texts.json: the file: field 'reference_perplexity'"),
            ({"texts": changed(TEXTS, perplexity="low")}, "texts.json: rows[0]: field 'perplexity'"),
        ]
        for files, message in bad:
            done, _ = self.catalogue(**files)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertTrue(done.stderr.startswith("catalogue: "), done.stderr)
            self.assertIn(message, done.stderr)

    def test_the_same_result(self):
        done = self.compare(RESULT, RESULT)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sum("+0.0%" in line for line in done.stdout.splitlines()), 4)  # the fifth knows no share

    def test_a_share_that_falls(self):
        share = RESULT["rows"][1]["share"]
        for factor, code in ((0.91, 0), (0.89, 1), (1.5, 0)):
            done = self.compare(RESULT, self.changed(1, share=share * factor))
            self.assertEqual(done.returncode, code, done.stdout)
            fell = [line for line in done.stdout.splitlines() if line.endswith(" fell")]
            self.assertEqual([line.split()[:2] for line in fell], [["decode", "int8"]] if code else [])

    def test_the_value_alone_does_not_count(self):  # another machine, the same share
        self.assertEqual(self.compare(RESULT, self.changed(0, value=1.0, limit=1.2)).returncode, 0)

    def test_the_best_of_repeated_rows(self):
        repeated = copy.deepcopy(RESULT)
        repeated["rows"].insert(0, {**RESULT["rows"][0], "share": 0.1})
        self.assertEqual(self.compare(RESULT, repeated).returncode, 0)

    def test_missing_rows_are_named(self):
        fewer = copy.deepcopy(RESULT)
        del fewer["rows"][2]
        fewer["rows"][1]["threads"] = 4
        done = self.compare(RESULT, fewer)
        self.assertEqual(done.returncode, 0)
        lines = done.stdout.splitlines()
        self.assertEqual(sum("missing in" in line and "new.json" in line for line in lines), 2)
        self.assertEqual(sum("missing in" in line and "old.json" in line for line in lines), 1)
        self.assertTrue(any(line.startswith("prefill512") and "missing" in line for line in lines))

    def test_files_that_are_no_results(self):
        bad = [
            (b"{", "not valid JSON"),
            (b"\xff\xfe", "not valid JSON"),
            (b"[" * 100000, "not valid JSON"),
            (b"[]", "expected an object"),
            ({"machine": "m", "dims": "d"}, "field 'rows'"),
            ({**RESULT, "rows": [1]}, "rows[0]"),
            (self.changed(0, value="fast"), "field 'value'"),
            (self.changed(0, value=-1), "field 'value'"),
            (self.changed(0, share=float("nan")), "field 'share'"),
            (self.changed(0, value=True), "field 'value'"),
            (self.changed(0, threads=1.5), "field 'threads'"),
            (self.changed(0, unit="m/s"), "field 'unit'"),
            (self.changed(0, work="a\x01"), "printable"),
            (self.changed(0, value=10**400), "field 'value'"),
            ({**RESULT, "dims": "Shapes"}, "field 'dims'"),
            ({**RESULT, "rows": []}, "in common"),
        ]
        for content, message in bad:
            done = self.compare(RESULT, content)
            self.assertEqual(done.returncode, 2, content)
            self.assertIn("new.json", done.stderr)
            self.assertIn(message, done.stderr)
            self.assertNotIn("Traceback", done.stderr)
        done = self.run_script("compare", "nothere.json", self.file("new.json", RESULT))
        self.assertEqual((done.returncode, "nothere.json: No such file" in done.stderr), (2, True))

    def plot(self, *results):
        svg = os.path.join(self.folder, "plot.svg")
        done = self.run_script("plot", *(self.file(f"{i}.json", r) for i, r in enumerate(results)), "-o", svg)
        if done.returncode != 0:
            return done, None
        with open(svg, "rb") as file:
            return done, file.read()

    def of_class(self, text, tag, name):
        return [e for e in xml.fromstring(text).iter(SVG + tag) if e.get("class") == name]

    def test_bars_and_limits(self):
        done, text = self.plot(RESULT)
        self.assertEqual(done.returncode, 0, done.stderr)
        bars = self.of_class(text, "rect", "bar")
        self.assertEqual(len(bars), 5)
        self.assertEqual(len(self.of_class(text, "line", "limit")), 4)
        ratio = float(bars[0].get("width")) / float(bars[1].get("width"))  # decode bf16 and int8, on one scale
        self.assertAlmostEqual(ratio, 10 / 18, places=2)

    def test_peers_stand_beside_their_rows(self):
        _, text = self.plot(RESULT, PEERS)
        self.assertEqual(len(self.of_class(text, "rect", "bar")), 5)
        self.assertEqual(len(self.of_class(text, "rect", "peer")), 2)  # the third is beside no row of ours
        self.assertNotIn(b"none of ours", text)

    def test_the_same_file_every_time(self):
        self.assertEqual(self.plot(RESULT, PEERS)[1], self.plot(RESULT, PEERS)[1])

    def test_nothing_to_draw(self):
        for results in ([PEERS], [{**RESULT, "rows": []}]):
            done, _ = self.plot(*results)
            self.assertEqual(done.returncode, 2)
            self.assertIn("no measurement to draw", done.stderr)

    def test_a_file_that_cannot_be_written(self):
        done = self.run_script("plot", self.file("a.json", RESULT), "-o", os.path.join(self.folder, "no", "a.svg"))
        self.assertEqual(done.returncode, 2)
        self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()
