"""The fusion policies of include/qwen3vl/fusion as PyTorch modules beside transformers' Qwen3-VL: what their golden data
is made with and their weights are trained with. The names of their parameters are those of the library's files.

    fusion = Fusion(model.config.text_config, cross=(1, 3), gated=True).attach(model)
    with fusion.pictures(token_types, features):     # [tokens] 1 or 2 for visual ones, a list of [rows, hidden]
        model(input_ids=..., ...)
    save_file(fusion.tensors(), "fusion.safetensors")
"""
import contextlib

import torch
from torch import nn
from torch.nn import functional as F


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def dense(rows, columns):
    return nn.Linear(columns, rows, bias=False)


class Scale(nn.Module):
    """The weight of a norm."""

    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))


class CrossAttention(nn.Module):
    """Gated cross-attention and its feed-forward layer (Alayrac et al., 2022, "Flamingo", section 2.2), with queries and
    keys normed by head."""

    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim, self.eps = c.num_attention_heads, c.num_key_value_heads, c.head_dim, c.rms_norm_eps
        self.norm, self.ffn_norm = Scale(c.hidden_size), Scale(c.hidden_size)
        self.q_proj = dense(self.heads * c.head_dim, c.hidden_size)
        self.k_proj = dense(self.kv_heads * c.head_dim, c.hidden_size)
        self.v_proj = dense(self.kv_heads * c.head_dim, c.hidden_size)
        self.o_proj = dense(c.hidden_size, self.heads * c.head_dim)
        self.q_norm, self.k_norm = Scale(c.head_dim), Scale(c.head_dim)
        self.mlp = nn.ModuleDict({"gate_proj": dense(c.intermediate_size, c.hidden_size), "up_proj": dense(c.intermediate_size, c.hidden_size),
                                  "down_proj": dense(c.hidden_size, c.intermediate_size)})
        self.gate, self.ffn_gate = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x, seen, factors):
        """x [..., tokens, hidden]; seen: a mask [tokens, keys], and the keys' features [..., keys, hidden]."""
        mask, visual = seen
        sees = mask.any(-1, keepdim=True)
        heads = lambda y, n: y.unflatten(-1, (n, self.head_dim)).transpose(-3, -2)
        q = rms_norm(heads(self.q_proj(rms_norm(x, self.norm.weight, self.eps)), self.heads), self.q_norm.weight, self.eps)
        k = rms_norm(heads(self.k_proj(visual), self.kv_heads), self.k_norm.weight, self.eps)
        v = heads(self.v_proj(visual), self.kv_heads)
        group = self.heads // self.kv_heads
        scores = q @ k.repeat_interleave(group, -3).transpose(-2, -1) / self.head_dim ** 0.5
        p = torch.softmax(scores.masked_fill(~(mask | ~sees), float("-inf")), -1)
        attended = (p @ v.repeat_interleave(group, -3)).transpose(-3, -2).flatten(-2)
        x = x + sees * factors * torch.tanh(self.gate) * self.o_proj(attended)
        n = rms_norm(x, self.ffn_norm.weight, self.eps)
        inner = F.silu(self.mlp["gate_proj"](n)) * self.mlp["up_proj"](n)
        return x + sees * factors * torch.tanh(self.ffn_gate) * self.mlp["down_proj"](inner)


class Bilinear(nn.Module):
    """Tensor fusion of low rank: a sum of products (Liu et al., 2018, "Low-rank multimodal fusion"), or with a core (Ben-
    Younes et al., 2017, "MUTAN")."""

    def __init__(self, c, rank, core):
        super().__init__()
        self.eps = c.rms_norm_eps
        self.norm = Scale(c.hidden_size)
        self.text, self.visual = nn.Linear(c.hidden_size, rank), nn.Linear(c.hidden_size, rank)
        if core:
            self.core = nn.ParameterDict({"weight": nn.Parameter(torch.randn(rank, rank, rank) / rank)})
        self.out = dense(c.hidden_size, rank)

    def forward(self, x, pooled, factors):
        """x [..., tokens, hidden]; pooled [..., tokens, hidden]: the mean of the means of the pictures before each token,
        and which tokens have any [tokens, 1]."""
        z, sees = pooled
        a, b = self.text(rms_norm(x, self.norm.weight, self.eps)), self.visual(z)
        h = torch.einsum("tij,...i,...j->...t", self.core["weight"], a, b) if hasattr(self, "core") else a * b
        return x + sees * factors * self.out(h)


class Gate(nn.Module):
    """2 * sigmoid(weight · x + bias), [tokens, 1]."""

    def __init__(self, n):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return 2 * torch.sigmoid(x @ self.weight + self.bias).unsqueeze(-1)


class Fusion(nn.Module):
    """Fusion policies of a model: cross-attention and tensor fusion before the named layers, gates on all that is added.
    outside: the sequence has a pad token for each picture and nothing of its features."""

    def __init__(self, c, cross=(), bilinear=(), rank=0, core=False, gated=False, outside=False, levels=0):
        super().__init__()
        self.layers = nn.ModuleDict({str(i): CrossAttention(c) for i in cross})
        self.bilinear = nn.ModuleDict({str(i): Bilinear(c, rank, core) for i in bilinear})
        self.gates = nn.ModuleDict()
        if gated:
            gate = lambda: Gate(c.hidden_size)
            self.gates["before"] = nn.ModuleDict({str(i): gate() for i in (*cross, *bilinear)})
            if not outside:
                self.gates["embed"] = gate()
                self.gates["after"] = nn.ModuleDict({str(i): gate() for i in range(levels)})
        self.seen_layers = None  # a dict takes what the layers read
        self.at, self.first, self.level = None, 0, 0

    def tensors(self):
        return {"fusion." + name: p.detach().float().contiguous() for name, p in self.named_parameters()}

    @contextlib.contextmanager
    def pictures(self, types, features, ends=None):
        """The tokens to come: those of `types` and then text. A picture's tokens are a run of one type, its end behind
        the last of them unless `ends` tells."""
        if ends is None:
            ends = [i + 1 for i in range(len(types)) if types[i] and (i + 1 == len(types) or not types[i + 1])]
        assert len(ends) == len(features)
        self.first, self.level = 0, 0
        if ends:
            self.at = lambda tokens: self.seen(torch.arange(self.first, self.first + tokens), ends, [f.unsqueeze(0) for f in features])
        yield self
        self.at = None

    @contextlib.contextmanager
    def batch(self, ends, features):
        """A batch of whole prompts to come, whose pictures have their ends and extents in common: features [batch, rows,
        hidden] of each."""
        self.first, self.level = 0, 0
        self.at = lambda tokens: self.seen(torch.arange(tokens), ends, features)
        yield self
        self.at = None

    @staticmethod
    def seen(positions, ends, features):
        """(mask, features), (pooled, sees) of tokens at these positions."""
        owner = torch.cat([torch.full((f.shape[1],), i) for i, f in enumerate(features)])
        before = positions.unsqueeze(-1) >= torch.tensor(ends)
        means = torch.stack([f.mean(1) for f in features], 1)
        pooled = before.float() @ means / before.sum(-1, keepdim=True).clamp(min=1)
        return (before[:, owner], torch.cat(features, 1)), (pooled, before.any(-1, keepdim=True))

    def attach(self, model):
        text = model.model.language_model

        def factors(kind, i, x):
            return self.gates[kind][i](x) if self.at and kind in self.gates and i in self.gates[kind] else 1.0

        def before(i):
            def hook(module, args, kwargs):
                y = args[0] if args else kwargs["hidden_states"]
                if not self.at:
                    return None
                attended, pooled = self.at(y.shape[1])
                if str(i) in self.layers:
                    y = self.layers[str(i)](y, attended, factors("before", str(i), y))
                if str(i) in self.bilinear:
                    y = self.bilinear[str(i)](y, pooled, factors("before", str(i), y))
                if self.seen_layers is not None:
                    self.seen_layers.setdefault(i, []).append(y[0].detach())
                return ((y, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": y})
            return hook

        def begin(module, args, kwargs):
            self.level, mask = 0, kwargs.get("visual_pos_masks")
            if self.at and "embed" in self.gates and mask is not None:
                x = kwargs["inputs_embeds"].clone()
                x[mask] = x[mask] * self.gates["embed"](x[mask])
                kwargs = {**kwargs, "inputs_embeds": x}
            return args, kwargs

        def end(module, args, kwargs, out):
            self.first += out[0].shape[1]

        stock = text._deepstack_process

        def deepstack(hidden, mask, level):
            gate = factors("after", str(self.level), hidden[mask])
            self.level += 1
            return stock(hidden, mask, level * gate)

        text._deepstack_process = deepstack
        text.register_forward_pre_hook(begin, with_kwargs=True)
        text.register_forward_hook(end, with_kwargs=True)
        for i in sorted({int(k) for k in (*self.layers, *self.bilinear)}):
            text.layers[i].register_forward_pre_hook(before(i), with_kwargs=True)
        return self
