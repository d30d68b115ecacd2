"""Writes the snippets of a page to files readme_NAME.cpp: those under a comment `<!-- snippet: NAME -->`. One without
includes gets the umbrella header.

    snippets.py PAGE.md OUT_DIR
"""

import re, sys, pathlib

text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
out = pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
found = re.findall(r"<!-- snippet: (\w+) -->\s*```cpp\n(.*?)```", text, re.S)
if not found:
    sys.exit(f"{sys.argv[1]} has no snippets")
for name, code in found:
    if "#include" not in code:
        code = "#include <qwen3vl/qwen3vl.hpp>\nnamespace q = qwen3vl;\n" + code
    path = out / f"readme_{name}.cpp"
    if not path.exists() or path.read_text(encoding="utf-8") != code:
        path.write_text(code, encoding="utf-8")
