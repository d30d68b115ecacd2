"""Makes the golden data of alignment::Projected in alignment/, with Hugging Face transformers and the module of
examples/models/shapes/alignment.py.

    pip install torch==2.11.0 torchvision transformers==5.17.0 safetensors pillow numpy
    python make_alignment.py OUT [--seed N]

Writes
  OUT/module.safetensors   random inputs and parameters of the module, its map and score
  OUT/shapes.safetensors   the map and score of "the blue star" over examples/pictures/shapes.png, by the Shapes model with
      its trained parameters
"""

import argparse
import os
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import Qwen3VLForConditionalGeneration

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "../../examples")
SHAPES = os.path.join(EXAMPLES, "models/shapes")
sys.path.insert(0, SHAPES)
from alignment import Projected  # noqa: E402
from batches import patches  # noqa: E402

PHRASE = "the blue star"


def results(module, words, regions):
    with torch.no_grad():
        return {"map": module.map(words, regions), "score": module.scores(words[None], regions[None])[0]}


def module_case():
    module, words, regions = Projected(64, 8), torch.randn(5, 64), torch.randn(12, 64)
    return {**module.tensors(), "words": words, "regions": regions, **results(module, words, regions)}


def shapes_case():
    model = Qwen3VLForConditionalGeneration.from_pretrained(SHAPES, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    file = load_file(os.path.join(SHAPES, "alignment/projected.safetensors"))
    module = Projected(model.config.text_config.hidden_size, len(file["alignment.text.weight"]))
    module.load_state_dict({name.removeprefix("alignment."): t.float() for name, t in file.items()})
    picture = np.asarray(Image.open(os.path.join(EXAMPLES, "pictures/shapes.png")).convert("RGB"))
    height, width = picture.shape[:2]
    ids = Tokenizer.from_file(os.path.join(SHAPES, "tokenizer.json")).encode(PHRASE).ids
    with torch.no_grad():
        visual = model.model.visual(
            patches(np.stack([picture, picture])[None]), torch.tensor([[1, height // 16, width // 16]])
        )
        words = model.model.language_model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
    return results(module, words, visual.pooler_output)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=41)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    os.makedirs(args.out, exist_ok=True)
    for name, case in {"module": module_case(), "shapes": shapes_case()}.items():
        save_file({k: v.contiguous() for k, v in case.items()}, os.path.join(args.out, name + ".safetensors"))
        print(name, case["map"], case["score"])


if __name__ == "__main__":
    main()
