"""Writes parameters of the fusion policy of include/qwen3vl/README.md: directions of a cosine transform, a small gate.

fusion_parameters.py CONFIG_JSON OUT.safetensors
"""

import json
import math
import struct
import sys

RANK, GATE = 16, 0.01
hidden = json.load(open(sys.argv[1], encoding="utf-8"))["text_config"]["hidden_size"]
directions = [
    math.cos(math.pi * r * (c + 0.5) / hidden) * math.sqrt(2 / hidden) for r in range(RANK) for c in range(hidden)
]
tensors, data = {}, b""
for name, shape, values in (("visual_mean.directions", [RANK, hidden], directions), ("visual_mean.gate", [1], [GATE])):
    begin = len(data)
    data += struct.pack(f"<{len(values)}f", *values)
    tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
header = json.dumps(tensors).encode()
header += b" " * (-len(header) % 8)
with open(sys.argv[2], "wb") as file:
    file.write(struct.pack("<Q", len(header)) + header + data)
