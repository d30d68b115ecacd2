"""Batches of scenes with their questions, as tensors for the reference's modelling code: what train.py and
train_fusion.py train on."""

import numpy as np, torch
import torch.nn.functional as F
from transformers.models.qwen3_vl import modeling_qwen3_vl as M
from scenes import CLIP_KINDS, COLORS, KINDS, PAIR_KINDS, SHAPES, SIZES, Clip, Crowd, Pair, Scene

CLIP_SIZES = [z for z in SIZES if z[0] * z[1] <= 16384]
WEIGHT = dict(describe=2.0, box=2.0)  # of a kind's answers in the loss; others 1


def same_size_attention(self, hidden_states, cu_seqlens, position_embeddings=None, **kw):
    """The tower's attention where all pictures of a batch have one size: one batched call."""
    n, b = hidden_states.shape[0], len(cu_seqlens) - 1
    q, k, v = self.qkv(hidden_states).reshape(n, 3, self.num_heads, -1).unbind(1)
    q, k = M.apply_rotary_pos_emb_vision(q, k, *position_embeddings)
    q, k, v = (x.reshape(b, n // b, self.num_heads, -1).transpose(1, 2) for x in (q, k, v))
    return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, -1))


def patches(frames):
    """[b, 2, h, w, 3] uint8 (a still picture twice) -> pixel_values [b * h/16 * w/16, 1536] in the reference's patch order."""
    x = torch.from_numpy(frames).float() / 127.5 - 1
    b, t, h, w, c = x.shape
    return (
        x.reshape(b, t, h // 32, 2, 16, w // 32, 2, 16, c).permute(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(-1, c * t * 256)
    )


def labels_of(scene):
    """Per merged patch (32 x 32 pixels): shape, colour (0: none) and box (0..1) of the object that covers most of it."""
    gh, gw = scene.height // 32, scene.width // 32
    kind, box = np.zeros((gh, gw, 2), np.int64), np.zeros((gh, gw, 4), np.float32)
    best = np.full((gh, gw), 0.06 * 1024)
    for o in scene.objects:
        x1, y1, x2, y2 = o["box"]
        for r in range(int(y1) // 32, min(gh, int(y2) // 32 + 1)):
            for c in range(int(x1) // 32, min(gw, int(x2) // 32 + 1)):
                a = max(0, min(x2, c * 32 + 32) - max(x1, c * 32)) * max(0, min(y2, r * 32 + 32) - max(y1, r * 32))
                if a > best[r, c]:
                    best[r, c] = a
                    kind[r, c] = SHAPES.index(o["shape"]) + 1, list(COLORS).index(o["color"]) + 1
                    box[r, c] = x1 / scene.width, y1 / scene.height, x2 / scene.width, y2 / scene.height
    return kind.reshape(-1, 2), box.reshape(-1, 4)


def stills(scenes):
    """pixel_values, kinds, boxes of a list of scenes of one size."""
    images = np.stack([np.asarray(s.draw()) for s in scenes])
    lab = [labels_of(s) for s in scenes]
    return (
        patches(np.stack([images, images], 1)),
        torch.from_numpy(np.concatenate([a for a, _ in lab])),
        torch.from_numpy(np.concatenate([b for _, b in lab])),
    )


class Prompts:
    """Token ids of prompts, by a tokenizer."""

    def __init__(self, tok):
        self.tok = tok
        self.IMG, self.VID, self.VS, self.VE, self.IE, self.EOT = (
            tok.token_to_id(s)
            for s in (
                "<|image_pad|>",
                "<|video_pad|>",
                "<|vision_start|>",
                "<|vision_end|>",
                "<|im_end|>",
                "<|endoftext|>",
            )
        )
        self.HEAD = self.encode("<|im_start|>user\n")

    def encode(self, text):
        return self.tok.encode(text).ids

    def batch(self, rng, task, size, b):
        """Of a task (single, crowd, pair, clip): pixel_values, number of pictures, kinds and boxes (None for clips), the items,
        their kinds of questions, and the prompt before a question: segments, each a list of token ids or the pad token
        of one picture."""
        HEAD, VS, VE = self.HEAD, self.VS, self.VE
        if task == "clip":
            clips = [Clip(rng, *size) for _ in range(b)]
            frames = np.stack([np.asarray(f) for c in clips for f in c.frames]).reshape(b * 3, 2, size[1], size[0], 3)
            prompt = [HEAD]
            for t in (0.5, 2.5, 4.5):
                prompt += [self.encode(f"<{t} seconds>") + [VS], self.VID, [VE]]
            return patches(frames), b * 3, None, None, clips, ["motion"] + CLIP_KINDS, prompt
        if task == "pair":
            pairs = [Pair(rng, *size) for _ in range(b)]
            px, kind, box = stills([s for p in pairs for s in p.scenes])
            return px, b * 2, kind, box, pairs, PAIR_KINDS * 2, [HEAD + [VS], self.IMG, [VE, VS], self.IMG, [VE]]
        scenes = [(Crowd if task == "crowd" else Scene)(rng, *size) for _ in range(b)]
        px, kind, box = stills(scenes)
        return px, b, kind, box, scenes, KINDS, [HEAD + [VS], self.IMG, [VE]]

    @staticmethod
    def ask(rng, items, kinds):
        """For each item [(kind, (question, answer))], shuffled."""
        asked = []
        for item in items:
            order = list(kinds)
            rng.shuffle(order)
            asked.append([(k, qa) for k, qa in ((k, item.ask(rng, k)) for k in order) if qa])
        return asked

    def layout(self, asked, prompt, size, hidden, outside=False):
        """Prompts with their questions, hidden from one another or one long chat. outside: one pad token a picture.

        Returns ids [b, n], position_ids [3, b, n], attention mask [b, 1, n, n] (bool), loss weights [b, n] (for the token
        at that place), and the question [b, n] of each token: -1 before the first, -2 behind the last."""
        gh, gw = size[1] // 32, size[0] // 32
        rows = []
        for questions in asked:
            ids, pos, turn, wt = [], [], [], []

            def add(tokens, p, k, w=0.0):
                ids.extend(tokens)
                pos.extend([p + i] * 3 for i in range(len(tokens)))
                turn.extend([k] * len(tokens))
                wt.extend([w] * len(tokens))
                return p + len(tokens)

            p = 0
            for seg in prompt:
                if isinstance(seg, list) or outside:
                    p = add(seg if isinstance(seg, list) else [seg], p, -1)
                else:
                    ids += [seg] * (gh * gw)
                    pos += [[p, p + r, p + c] for r in range(gh) for c in range(gw)]
                    turn += [-1] * (gh * gw)
                    wt += [0.0] * (gh * gw)
                    p += max(gh, gw)
            start = p
            for n, (kind, (question, answer)) in enumerate(questions):
                p = add(self.encode(question + "<|im_end|>\n<|im_start|>assistant\n"), start if hidden else p, n)
                a = self.encode(answer) + [self.IE]
                p = add(a, p, n, WEIGHT.get(kind, 1.0) / len(a) ** 0.7)
                if not hidden and n + 1 < len(questions):
                    p = add(self.encode("\n<|im_start|>user\n"), p, n)
            rows.append((ids, pos, turn, wt))
        n = max(len(r[0]) for r in rows)
        b = len(rows)
        I = torch.full((b, n), self.EOT)
        P = torch.zeros(3, b, n, dtype=torch.long)
        W = torch.zeros(b, n)
        tn = torch.full((b, n), -2)
        for i, (ids, pos, turn, wt) in enumerate(rows):
            m = len(ids)
            I[i, :m] = torch.tensor(ids)
            P[:, i, :m] = torch.tensor(pos).T
            W[i, :m] = torch.tensor(wt)
            tn[i, :m] = torch.tensor(turn)
        ok = torch.ones(n, n, dtype=torch.bool).tril()[None].expand(b, n, n)
        if hidden:
            ok = ok & ((tn[:, :, None] == tn[:, None, :]) | (tn[:, None, :] == -1))
        ok = ok | torch.eye(n, dtype=torch.bool)[None]
        return I, P, ok[:, None], W, tn
