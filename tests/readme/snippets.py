"""Writes the README's program snippets to files: those under a comment `<!-- snippet: NAME -->`.

    snippets.py README.md OUT_DIR
"""
import re, sys, pathlib

text = pathlib.Path(sys.argv[1]).read_text()
out = pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
found = re.findall(r"<!-- snippet: (\w+) -->\s*```cpp\n(.*?)```", text, re.S)
if not found:
    sys.exit("README.md has no snippets")
for name, code in found:
    path = out / f"readme_{name}.cpp"
    if not path.exists() or path.read_text() != code:
        path.write_text(code)
