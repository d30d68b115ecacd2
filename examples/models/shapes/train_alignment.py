"""Trains alignment::Projected of the Shapes model beside the frozen model, on scenes from scenes.py.

    python examples/models/shapes/train_alignment.py FILE.safetensors

A batch has pictures of one size and for each the phrase of one of its objects, which the decoder reads alone. The loss is
contrastive, at a temperature of 0.07: of a phrase's late interaction with every picture of the batch, those that show
the object against the others; and of its map over its own picture, the regions that point at the object against the
others. The model is frozen, and the answers' cross-entropy with it.
"""

import argparse, os, random, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import Qwen3VLForConditionalGeneration
from transformers.models.qwen3_vl import modeling_qwen3_vl as M
from alignment import Projected
from batches import Prompts, same_size_attention
from scenes import SIZES, article

TEMPERATURE = 0.07


def n_of(size):
    return size[0] // 32 * (size[1] // 32)


def points_at(box, k, size):
    """Does region k of a picture point at a box: its centre lies in the box, or the box's centre in the region?"""
    x1, y1, x2, y2 = box
    columns = size[0] // 32
    x, y = k % columns * 32, k // columns * 32
    inside = x1 <= x + 16 <= x2 and y1 <= y + 16 <= y2
    return inside or (x <= (x1 + x2) / 2 < x + 32 and y <= (y1 + y2) / 2 < y + 32)


class Trainer:
    def __init__(self, seed, rank, threads):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        M.Qwen3VLVisionAttention.forward = same_size_attention
        self.model = Qwen3VLForConditionalGeneration.from_pretrained(HERE, dtype=torch.float32).eval()
        self.model.requires_grad_(False)
        self.prompts = Prompts(Tokenizer.from_file(f"{HERE}/tokenizer.json"))
        self.module = Projected(self.model.config.text_config.hidden_size, rank)

    def draw(self, rng, b):
        """Phrases' last hidden states by number of words [(which, [n, words, hidden])], regions [b, regions, hidden], which
        pictures show which phrase's object [b, b], which regions point at it [b, regions], and the objects."""
        size = rng.choice(SIZES)
        px, n, _, _, scenes, _, _ = self.prompts.batch(rng, "single", size, b)
        with torch.no_grad():
            visual = self.model.model.visual(px, torch.tensor([[1, size[1] // 16, size[0] // 16]] * n))
        objects = [rng.choice(s.objects) for s in scenes]
        shows = torch.tensor(
            [
                [any((p["color"], p["shape"]) == (o["color"], o["shape"]) for p in s.objects) for s in scenes]
                for o in objects
            ]
        )
        points = torch.tensor([[points_at(o["box"], k, size) for k in range(n_of(size))] for o in objects])
        groups = {}
        for i, o in enumerate(objects):
            name = f'{o["color"]} {o["shape"]}'
            phrase = rng.choice([name, "the " + name, article(o["color"], o["shape"])])
            ids = self.prompts.encode(phrase)
            groups.setdefault(len(ids), []).append((i, ids))
        words = []
        for group in groups.values():
            ids = torch.tensor([ids for _, ids in group])
            with torch.no_grad():
                states = self.model.model.language_model(input_ids=ids, use_cache=False).last_hidden_state
            words.append((torch.tensor([i for i, _ in group]), states))
        return words, visual.pooler_output.view(b, -1, self.module.text.in_features), shows, points

    def loss(self, rng, b):
        words, regions, shows, points = self.draw(rng, b)
        total = 0
        for which, states in words:
            s = self.module.scores(states, regions) / TEMPERATURE
            total = total + (s.logsumexp(-1) - s.masked_fill(~shows[which], float("-inf")).logsumexp(-1)).sum()
            m = self.module.map(states, regions[which]) / TEMPERATURE
            total = total + (m.logsumexp(-1) - m.masked_fill(~points[which], float("-inf")).logsumexp(-1)).sum()
        return total / b

    def pointing(self, rng, b):
        """How many phrases' highest region points at the object."""
        words, regions, _, points = self.draw(rng, b)
        best = [(which, self.module.map(states, regions[which]).argmax(-1)) for which, states in words]
        return sum(points[which, k].sum().item() for which, k in best)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--threads", type=int, default=2)
    o = parser.parse_args()
    trainer = Trainer(o.seed, o.rank, o.threads)
    optimizer = torch.optim.AdamW(trainer.module.parameters(), lr=5e-3, weight_decay=0.0)
    began, losses = time.time(), []
    for step in range(o.steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * min(1.0, (1 - step / o.steps) / 0.5)
        loss = trainer.loss(random.Random(o.seed * 1000003 + step), o.batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 25 == 0:
            print(step + 1, f"loss {sum(losses) / len(losses):.4f} {(time.time() - began) / 25:.2f} s/step", flush=True)
            began, losses = time.time(), []
    with torch.no_grad():
        right = sum(trainer.pointing(random.Random(f"{o.seed} validation {i}"), 64) for i in range(16))
    print(f"points right in {100 * right / 1024:.1f} % of 1024 phrases about scenes of another seed")
    save_file({k: t.bfloat16() for k, t in trainer.module.tensors().items()}, o.out)


if __name__ == "__main__":
    main()
