"""Makes the golden data of the fusion policies in fusion/, with Hugging Face transformers and the modules of
examples/models/shapes/fusion.py, on the checkpoint in tiny/.

    pip install torch==2.11.0 torchvision transformers==5.17.0 safetensors pillow numpy
    python make_fusion.py OUT [--seed N]
    python make_fusion.py OUT --trained POLICY...

Writes for each of the forms below
  OUT/FORM.safetensors               random parameters, as LoadOptions::parameters takes them
  OUT/FORM_cases/two_images.safetensors   inputs, each layer's results and logits, as make_golden.py names them, and
      fusion.before_layer.N: the rows that layer N reads, after the fusion before it

With --trained cases alone, of the Shapes model with its trained parameters: OUT/trained_POLICY_cases/picture_and_clip.safetensors
has a scene, a clip of two frame pairs, what the fusion gives and the logits.
"""
import argparse
import os
import random
import sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import Qwen3VLForConditionalGeneration

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = os.path.join(HERE, "../../examples/models/shapes")
sys.path.insert(0, SHAPES)
from batches import patches  # noqa: E402
from fusion import Fusion  # noqa: E402
from scenes import Scene  # noqa: E402
from train_fusion import POLICIES  # noqa: E402

FORMS = {
    "cross_inside": dict(cross=(1, 3)),
    "cross_outside": dict(cross=(1, 3), outside=True),
    "gated_cross": dict(cross=(1, 3), gated=True, levels=2),
    "gated_deepstack": dict(gated=True, levels=2),
    "bilinear": dict(bilinear=(1, 3), rank=12),
    "tucker": dict(bilinear=(1, 3), rank=12, core=True),
}
IMAGES = [(4, 6), (6, 4)]  # rows and columns of patches


def randomise(fusion):
    with torch.no_grad():
        for name, p in fusion.named_parameters():
            around = 1.0 if "norm" in name else 0.6 if name.endswith("gate") else 0.0
            if name.startswith("gates.") or p.dim() == 1:
                p.copy_(around + 0.3 * torch.randn_like(p) * (p.numel() ** -0.5 if name.startswith("gates.") and p.numel() > 1 else 1))
            else:
                p.copy_(torch.randn_like(p) / (p[0].numel() ** 0.5))


def run(form, options, trained, out, tok, rng):
    outside = options.get("outside", False)
    model = Qwen3VLForConditionalGeneration.from_pretrained(
        SHAPES if trained else os.path.join(HERE, "tiny"), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    fusion = Fusion(model.config.text_config, **options)
    if trained:
        file = load_file(os.path.join(SHAPES, "fusion", form + ".safetensors"))
        fusion.load_state_dict({name.removeprefix("fusion."): t.float() for name, t in file.items()})
    else:
        randomise(fusion)
        save_file(fusion.tensors(), os.path.join(out, form + ".safetensors"))
    fusion.attach(model)
    fusion.seen_layers = {}
    T = tok.token_to_id
    ids, types, ends = tok.encode("<|im_start|>user\n").ids, [], []
    VS, VE, IMG, VID = (T(f"<|{name}|>") for name in ("vision_start", "vision_end", "image_pad", "video_pad"))

    def add(pad, h, w):
        ids.extend([VS] + [pad] * (1 if outside else h * w // 4) + [VE])
        ends.append(len(ids) - 1)

    stills, clips = ([IMAGES[0]], [(2, 6, 4)]) if trained else (IMAGES, [])
    for h, w in stills:
        add(IMG, h, w)
        ids += tok.encode(" and then").ids
    for t, h, w in clips:
        for i in range(t):
            ids += tok.encode(f"<{2 * i + 0.5} seconds>").ids
            add(VID, h, w)
    ids += tok.encode("Which shape is red?<|im_end|>\n<|im_start|>assistant\n").ids
    types = [1 if i == IMG else 2 if i == VID else 0 for i in ids]
    ids_t, types_t = torch.tensor([ids]), torch.tensor([types], dtype=torch.int32)
    scene = lambda h, w: np.stack([np.asarray(Scene(rng, w * 16, h * 16).draw())] * 2)[None]
    pixels = [patches(scene(h, w)) if trained else torch.randn(h * w, 1536) for h, w in stills]
    visuals = dict(pixel_values=torch.cat(pixels), image_grid_thw=torch.tensor([[1, h, w] for h, w in stills]))
    if clips:
        frames = [patches(scene(h, w)) for t, h, w in clips for _ in range(t)]
        visuals.update(pixel_values_videos=torch.cat(frames), video_grid_thw=torch.tensor(clips))
    res = {"input_ids": ids_t[0].int(), "token_types": types_t[0]}
    res.update({name: v.int() if name.endswith("thw") else v for name, v in visuals.items()})
    merged = []
    hook = model.model.visual.merger.register_forward_hook(lambda m, a, o: merged.append(o.detach()))
    with torch.no_grad():
        model.model.visual(visuals["pixel_values"], grid_thw=visuals["image_grid_thw"])
        if clips:
            model.model.visual(visuals["pixel_values_videos"], grid_thw=visuals["video_grid_thw"])
    hook.remove()
    rows = torch.cat([m.reshape(-1, model.config.text_config.hidden_size) for m in merged])
    features = list(torch.split(rows, [h * w // 4 for h, w in stills] + [h * w // 4 for t, h, w in clips for _ in range(t)]))
    layers = {}

    def keep(i):
        def f(module, a, o):
            layers.setdefault(i, []).append((o[0] if isinstance(o, tuple) else o).detach().reshape(-1, model.config.text_config.hidden_size))
        return f

    hooks = [layer.register_forward_hook(keep(i)) for i, layer in enumerate(model.model.language_model.layers)]
    kw = {} if outside else dict(**visuals, mm_token_type_ids=types_t)
    model.model.rope_deltas = None
    with torch.no_grad(), fusion.pictures(types, features, ends):
        if outside:
            position = torch.arange(len(ids)).view(1, 1, -1).expand(3, 1, -1)
            delta = torch.zeros(1, 1)
        else:
            position, delta = model.model.get_rope_index(ids_t, types_t, visuals["image_grid_thw"], visuals.get("video_grid_thw"))
        o = model(input_ids=ids_t, use_cache=True, **kw)
        for h in hooks:
            h.remove()
        res["position_ids"], res["rope_delta"] = position[:, 0].int().contiguous(), delta.view(-1).int()
        res["logits"] = o.logits[0]
        for i, rows in ({} if trained else layers).items():
            res[f"text.layer.{i}"] = rows[0]
        for i, rows in fusion.seen_layers.items():
            res[f"fusion.before_layer.{i}"] = rows[0]
        past, tokens, forced = o.past_key_values, [rng.randrange(448) for _ in range(8)], []
        for t in tokens:
            o = model(input_ids=torch.tensor([[t]]), past_key_values=past, use_cache=True)
            forced.append(o.logits[0, -1])
            past = o.past_key_values
    res["forced_ids"], res["forced_logits"] = torch.tensor(tokens, dtype=torch.int32), torch.stack(forced)
    cases = os.path.join(out, ("trained_" if trained else "") + form + "_cases")
    os.makedirs(cases, exist_ok=True)
    save_file({k: v.contiguous() for k, v in res.items()}, os.path.join(cases, "picture_and_clip.safetensors" if trained else "two_images.safetensors"))
    print(form, len(ids), "tokens, largest logit", float(res["logits"].abs().max()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--trained", nargs="+", choices=POLICIES, default=[], metavar="POLICY")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    os.makedirs(args.out, exist_ok=True)
    tok = Tokenizer.from_file(os.path.join(SHAPES, "tokenizer.json") if args.trained else os.path.join(HERE, "tiny_tokenizer.json"))
    for form in args.trained or FORMS:
        run(form, (POLICIES if args.trained else FORMS)[form], bool(args.trained), args.out, tok, rng)


if __name__ == "__main__":
    main()
