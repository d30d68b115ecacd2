"""The JSON of the benches, that of model_bench and of bench/peers/measure in full; bench/README.md describes it."""

import json
import math
import sys

MAX_BYTES = 64 << 20
UNITS = ("tokens/s", "s")  # of the first more is better, of the second less


class ResultError(Exception):
    """A file that is no result; the message names the file, the field, what was expected and what was found."""


def shown(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "…"


def field(path, where, row, name, kinds, expected):
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise ResultError(f"{path}: {where}: field '{name}': expected {expected}, found {shown(value)}")
    return value


def text(path, where, row, name):
    value = field(path, where, row, name, str, "a string")
    if not value.isprintable():
        raise ResultError(f"{path}: {where}: field '{name}': expected printable text, found {shown(value)}")
    return value


def _at_least_0(path, where, row, name, expected):
    value = field(path, where, row, name, (int, float), expected)
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not (math.isfinite(value) and value >= 0):
        raise ResultError(f"{path}: {where}: field '{name}': expected {expected}, found {row[name]}")
    return value


def amount(path, where, row, name):
    return _at_least_0(path, where, row, name, "a number from 0 on")


def positive(path, where, row, name):
    value = _at_least_0(path, where, row, name, "a number above 0")
    if value == 0:
        raise ResultError(f"{path}: {where}: field '{name}': expected a number above 0, found {row[name]}")
    return value


def optional(path, where, row, name):
    """As positive(), or None where the row says null or nothing."""
    return None if row.get(name) is None else positive(path, where, row, name)


def load(path):
    """A file of JSON, an object. Throws ResultError."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as e:
        raise ResultError(f"{path}: {e.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ResultError(f"{path}: more than {MAX_BYTES >> 20} MiB")
    try:
        result = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as e:
        raise ResultError(f"{path}: not valid JSON: {e}") from None
    if not isinstance(result, dict):
        raise ResultError(f"{path}: expected an object, found {shown(result)}")
    return result


def objects(path, where, parent, name):
    """[(where, object)] of a list of objects."""
    of = "" if where == "the file" else where + "."
    found = [(f"{of}{name}[{i}]", row) for i, row in enumerate(field(path, where, parent, name, list, "a list"))]
    for place, row in found:
        if not isinstance(row, dict):
            raise ResultError(f"{path}: {place}: expected an object, found {shown(row)}")
    return found


def read(path):
    """{"machine", "dims", "rows"}: a file of model_bench, its rows checked. Throws ResultError."""
    result = load(path)
    rows = []
    for where, row in objects(path, "the file", result, "rows"):
        checked = {name: text(path, where, row, name) for name in ("work", "bundle", "arch", "unit")}
        if checked["unit"] not in UNITS:
            raise ResultError(
                f"{path}: {where}: field 'unit': expected {' or '.join(UNITS)}, found {shown(checked['unit'])}"
            )
        checked["threads"] = field(path, where, row, "threads", int, "an integer")
        checked["value"] = positive(path, where, row, "value")
        for name in ("limit", "share", "vector_share"):  # null where no limit is known
            checked[name] = optional(path, where, row, name)
        for name in ("peer", "format"):  # of a peer's row
            if name in row:
                checked[name] = text(path, where, row, name)
        rows.append(checked)
    return {
        "machine": text(path, "the file", result, "machine"),
        "dims": text(path, "the file", result, "dims"),
        "rows": rows,
    }


def key(row):
    """What makes two rows the same measurement."""
    return (row["work"], row["bundle"], row["arch"], row["threads"])


def better(row, other):
    return other is None or (row["value"] > other["value"]) == (row["unit"] == "tokens/s")


def panels(files):
    """[(work, unit, [row])]: works, and in each the measurements, in the files' order; its peers follow each."""
    own, peers = {}, {}
    for result in files:
        for row in result["rows"]:
            into, name = (peers, (*key(row), row["peer"], row.get("format", ""))) if "peer" in row else (own, key(row))
            if better(row, into.get(name)):
                into[name] = row
    by_work = {}
    for name, row in own.items():
        rows = by_work.setdefault((row["work"], row["unit"]), [])
        rows.append(row)
        rows.extend(peer for k, peer in peers.items() if k[:4] == name and peer["unit"] == row["unit"])
    return [(work, unit, rows) for (work, unit), rows in by_work.items()]


def number(value):
    return f"{value:.4g}" if value < 1000 else f"{value:.0f}"


def peer_name(row):
    return f"{row['peer']} {row.get('format', '')}".strip()


def run(main):
    """Runs a program's main(), which returns its exit code; 2 and a message for files that are no results."""
    name = sys.argv[0].rsplit("/", 1)[-1]
    try:
        sys.exit(main())
    except ResultError as e:
        print(f"{name}: {e}", file=sys.stderr)
    except OSError as e:
        print(f"{name}: {e.filename}: {e.strerror}", file=sys.stderr)
    sys.exit(2)
