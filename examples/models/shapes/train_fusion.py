"""Trains a fusion policy of the Shapes model: the modules of fusion.py beside the frozen model, on scenes from scenes.py.

    pip install torch torchvision transformers==5.17.0 safetensors pillow numpy tokenizers
    python examples/models/shapes/train_fusion.py WORK --policy cross_outside   # WORK/POLICY.pt as it goes; resumes from it
    python examples/models/shapes/train_fusion.py WORK --policy cross_outside --export FILE.safetensors

Every step draws scenes that no other step has; each follows from --seed and the step alone, so that a resumed run is the
whole run. The loss is the cross-entropy of the true answers. A policy whose pictures stand outside of the sequence
learns from the model with its pictures inside as well: the divergence from its predictions, and, weighing less and
less, the distance of the stream behind the layers that follow a module.
"""

import argparse, os, random, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import torch, torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import Qwen3VLForConditionalGeneration
from transformers.models.qwen3_vl import modeling_qwen3_vl as M
from batches import CLIP_SIZES, Prompts, same_size_attention
from fusion import Fusion
from scenes import CROWD_SIZES, SIZES

CROSS = (1, 3, 5)
POLICIES = {
    "cross_outside": dict(cross=CROSS, outside=True),
    "gated_deepstack": dict(gated=True, levels=3),
    "gated_cross": dict(cross=CROSS, gated=True, levels=3),
    "bilinear": dict(bilinear=range(6), rank=64),
}
# Shares of what is drawn: what the model knows, and, for policies that are to add to it, more objects than it has seen.
KNOWN = {"single": 0.45, "pair": 0.35, "clip": 0.2}
CROWDED = {"crowd": 0.55, "single": 0.2, "pair": 0.15, "clip": 0.1}


def begin(fusion):
    """What the modules begin with: open gates, and outputs of zero."""
    with torch.no_grad():
        for layer in fusion.layers.values():
            layer.gate.fill_(1.0), layer.ffn_gate.fill_(1.0)
            layer.o_proj.weight.zero_(), layer.mlp["down_proj"].weight.zero_()
        for layer in fusion.bilinear.values():
            layer.out.weight.zero_()
            layer.text.bias.fill_(1.0)


class Trainer:
    def __init__(self, options):
        torch.manual_seed(options.seed)
        M.Qwen3VLVisionAttention.forward = same_size_attention
        self.model = Qwen3VLForConditionalGeneration.from_pretrained(
            HERE, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()
        self.model.requires_grad_(False)
        self.prompts = Prompts(Tokenizer.from_file(f"{HERE}/tokenizer.json"))
        self.options = options
        self.form = POLICIES[options.policy]
        self.outside = self.form.get("outside", False)
        self.tasks = KNOWN if self.outside else CROWDED
        self.fusion = Fusion(self.model.config.text_config, **self.form)
        begin(self.fusion)
        self.fusion.attach(self.model)
        self.behind = {}
        for i in self.form.get("cross", ()):
            self.model.model.language_model.layers[i].register_forward_hook(
                lambda m, a, o, i=i: self.behind.__setitem__(i, o[0] if isinstance(o, tuple) else o)
            )
        named = list(self.fusion.named_parameters())
        matrix = lambda p: p.dim() == 2
        self.optimizers = (
            [torch.optim.Muon([p for _, p in named if matrix(p)], lr=options.rate, weight_decay=0.01)]
            if any(matrix(p) for _, p in named)
            else []
        )
        self.optimizers.append(
            torch.optim.AdamW(
                [p for _, p in named if not matrix(p)], lr=options.rate / 4, betas=(0.9, 0.98), weight_decay=0.0
            )
        )
        self.rates = [g["lr"] for o in self.optimizers for g in o.param_groups]
        self.step = 0
        self.file = f"{options.work}/{options.policy}.pt"
        if os.path.exists(self.file):
            c = torch.load(self.file, weights_only=False)
            self.fusion.load_state_dict(c["fusion"])
            for o, state in zip(self.optimizers, c["optimizers"]):
                o.load_state_dict(state)
            self.step = c["step"]

    def save(self):
        state = dict(
            fusion=self.fusion.state_dict(), optimizers=[o.state_dict() for o in self.optimizers], step=self.step
        )
        torch.save(state, self.file + ".new")
        os.replace(self.file + ".new", self.file)

    def draw(self, rng, batch, task=None):
        """A batch of a task: the pictures' features, and the questions."""
        task = task or rng.choices(list(self.tasks), list(self.tasks.values()))[0]
        size = rng.choice({"clip": CLIP_SIZES, "crowd": CROWD_SIZES}.get(task, SIZES))
        b = max(8, int(batch * dict(single=1, pair=0.8, clip=0.9, crowd=0.8)[task]))
        px, pictures, _, _, items, kinds, prompt = self.prompts.batch(rng, task, size, b)
        with torch.no_grad():
            grid = torch.tensor([[1, size[1] // 16, size[0] // 16]] * pictures)
            visual = self.model.model.visual(px, grid)
        return task, size, visual, self.prompts.ask(rng, items, kinds), prompt

    def states(self, laid, visual, inside):
        """Final hidden states [b, n, hidden] of laid out prompts, with the pictures' features inside or outside."""
        text = self.model.model.language_model
        I, P, mask = laid[:3]
        x = text.embed_tokens(I)
        more = {}
        if inside:
            where = (I == self.prompts.IMG) | (I == self.prompts.VID)
            x = x.masked_scatter(where[..., None], visual.pooler_output.to(x.dtype))
            more = dict(visual_pos_masks=where, deepstack_visual_embeds=list(visual.deepstack_features))
        return text(inputs_embeds=x, position_ids=P, attention_mask=mask, use_cache=False, **more).last_hidden_state

    def fused(self, laid, visual, b):
        """The same with the policy."""
        I = laid[0]
        pads = ((I[0] == self.prompts.IMG) | (I[0] == self.prompts.VID)).tolist()
        ends = [i + 1 for i in range(len(pads)) if pads[i] and not pads[i + 1]]
        rows = visual.pooler_output.view(b, len(ends), -1, visual.pooler_output.shape[-1])
        with self.fusion.batch(ends, list(rows.unbind(1))):
            return self.states(laid, visual, inside=not self.outside)

    def loss(self, rng):
        task, size, visual, asked, prompt = self.draw(rng, self.options.batch)
        laid = self.prompts.layout(asked, prompt, size, True, self.outside)
        I, _, _, W, turn = laid
        stat = {}
        if self.outside:
            taught = self.prompts.layout(asked, prompt, size, True)
            with torch.no_grad():
                teacher = self.states(taught, visual, inside=True)
                behind = [h[taught[4] >= 0] for h in self.behind.values()]
        h = self.fused(laid, visual, len(asked))
        pick = W[:, 1:] > 0
        w = W[:, 1:][pick]
        logits = self.model.lm_head(h[:, :-1][pick])
        truth = I[:, 1:][pick]
        loss = (F.cross_entropy(logits, truth, reduction="none") * w).sum() / w.sum()
        stat["ce"], stat[task] = loss.item(), (logits.argmax(1) == truth).float().mean().item()
        if self.outside:
            with torch.no_grad():
                target = self.model.lm_head(teacher[:, :-1][taught[3][:, 1:] > 0]).log_softmax(-1)
            divergence = F.kl_div(logits.log_softmax(-1), target, log_target=True, reduction="none").sum(-1)
            divergence = (divergence * w).sum() / w.sum()
            text = turn >= 0
            far = sum(
                ((mine[text] - t).square().mean() / t.square().mean()) for mine, t in zip(self.behind.values(), behind)
            ) / len(behind)
            stat["kl"], stat["far"] = divergence.item(), far.item()
            fade = max(0.0, 1 - self.step / (0.7 * self.options.steps))
            loss = loss + divergence + 3.0 * fade * far
        return loss, stat

    def train(self):
        o = self.options
        began, acc = time.time(), {}
        while self.step < o.steps:
            done = self.step / o.steps
            factor = min(1.0, (self.step + 1) / 30) * min(1.0, (1 - done) / 0.7 + 0.005)
            groups = [g for optimizer in self.optimizers for g in optimizer.param_groups]
            for g, rate in zip(groups, self.rates):
                g["lr"] = rate * factor
            loss, stat = self.loss(random.Random(o.seed * 1000003 + self.step))
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.fusion.parameters(), 1.0)
            for optimizer in self.optimizers:
                optimizer.step()
            self.step += 1
            for k, x in stat.items():
                acc.setdefault(k, []).append(x)
            if self.step % 20 == 0:
                means = {k: round(sum(x) / len(x), 4) for k, x in acc.items()}
                print(self.step, means, f"{(time.time() - began) / 20:.2f} s/step", flush=True)
                began, acc = time.time(), {}
            if self.step % 100 == 0 or self.step == o.steps:
                self.save()
                print(self.step, "validation", self.validate(), flush=True)

    def validate(self, batches=2):
        """Shares of answers of which every token is the likeliest, by kind, on scenes of another seed."""
        right = {}
        with torch.no_grad():
            for task in self.tasks:
                for i in range(batches):
                    rng = random.Random(f"{self.options.seed} validation {task} {i}")
                    _, size, visual, asked, prompt = self.draw(rng, 24, task)
                    laid = self.prompts.layout(asked, prompt, size, True, self.outside)
                    I, _, _, W, turn = laid
                    best = self.model.lm_head(self.fused(laid, visual, len(asked))[:, :-1]).argmax(-1)
                    wrong = (best != I[:, 1:]) & (W[:, 1:] > 0)
                    for row, questions in enumerate(asked):
                        for n, (kind, _) in enumerate(questions):
                            right.setdefault(("crowd " if task == "crowd" else "") + kind, []).append(
                                not wrong[row][turn[row, 1:] == n].any().item()
                            )
        return {k: round(sum(v) / len(v), 3) for k, v in sorted(right.items())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work")
    parser.add_argument("--policy", choices=POLICIES, required=True)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=61)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export", metavar="FILE", help="writes the trained parameters in bf16")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.makedirs(options.work, exist_ok=True)
    trainer = Trainer(options)
    if options.export:
        save_file({k: t.bfloat16() for k, t in trainer.fusion.tensors().items()}, options.export)
        return
    trainer.train()


if __name__ == "__main__":
    main()
