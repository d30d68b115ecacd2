"""Makes the golden data of retrieval: embeddings and scores of the code beside Qwen3-VL-Embedding and Qwen3-VL-Reranker
(github.com/QwenLM/Qwen3-VL-Embedding, src/models), written anew for CPU and for the checkpoint `tiny`.

    pip install torch==2.15.0 torchvision transformers==5.24.0 qwen-vl-utils==0.0.14 pillow==12.0.0 numpy
    python make_retrieval.py OUT [--seed N]

Writes OUT/retrieval/cases.json: "embeddings", each with what was embedded, its token ids and the vector; "scores", each
with a query, documents and a score for each. Pictures are named by their file in this folder, clips by files of their
frames.
"""

import argparse, json, os, random, unicodedata
import numpy as np, torch
from PIL import Image
from qwen_vl_utils import vision_process
from transformers import PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration, Qwen3VLProcessor
from transformers import Qwen3VLVideoProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

HERE = os.path.dirname(os.path.abspath(__file__))
TEMPLATE = (  # of the released checkpoints, for system and user messages
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for p in m.content %}"
    "{% if p.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif p.type == 'video' %}<|video_pad|>"  # alone: transformers of that time replaced the tokens around it too
    "{% else %}{{ p.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKEN = 32 * 32  # pixels
PICTURE = {"min_pixels": 4 * TOKEN, "max_pixels": 1800 * TOKEN}


def read_frames(ele):
    """Stands in for a decoder: the "file" is frames with a rate; frames are chosen as _read_video_decord does."""
    frames, rate = CLIPS[ele["video"].removeprefix("file://")]
    count = vision_process.smart_nframes(ele, total_frames=len(frames), video_fps=rate)
    indices = torch.linspace(0, len(frames) - 1, count).round().long().tolist()
    video = torch.stack([torch.from_numpy(np.array(picture(frames[i]))).permute(2, 0, 1) for i in indices])
    return video, dict(fps=rate, frames_indices=indices, total_num_frames=len(frames)), count / len(frames) * rate


def picture(name):
    return Image.open(os.path.join(HERE, name)).convert("RGB")


CLIPS = {}
vision_process.VIDEO_READER_BACKENDS["frames"] = read_frames
vision_process.get_video_reader_backend = lambda: "frames"


class Reference:
    def __init__(self):
        folder = os.path.join(HERE, "tiny")
        self.model = Qwen3VLForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        file = json.load(open(os.path.join(folder, "tokenizer.json")))
        special = [t["content"] for t in file["added_tokens"] if t["special"]]
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=os.path.join(folder, "tokenizer.json"),
            eos_token="<|im_end|>",
            pad_token="<|endoftext|>",
            additional_special_tokens=[t for t in special if t not in ("<|im_end|>", "<|endoftext|>")],
        )
        self.processor = Qwen3VLProcessor(
            image_processor=Qwen2VLImageProcessor(
                patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3, min_pixels=4096, max_pixels=65536
            ),
            tokenizer=self.tokenizer,
            video_processor=Qwen3VLVideoProcessor(),
            chat_template=TEMPLATE,
        )

    def inputs(self, conversation):
        text = self.processor.apply_chat_template([conversation], add_generation_prompt=True, tokenize=False)
        images, videos, options = vision_process.process_vision_info(
            [conversation], image_patch_size=16, return_video_metadata=True, return_video_kwargs=True
        )
        metadata = None
        if videos is not None:
            videos, metadata = (list(part) for part in zip(*videos))
        return self.processor(
            text=text, images=images, videos=videos, video_metadata=metadata, do_resize=False, **options
        )

    @torch.no_grad()
    def last_state(self, inputs, ids):
        known = ("input_ids", "attention_mask")
        tensors = {k: torch.as_tensor(np.asarray(v)) for k, v in inputs.items() if k not in known}
        if "mm_token_type_ids" in tensors:
            by_id = {self.processor.image_token_id: 1, self.processor.video_token_id: 2}
            types = torch.tensor([[by_id.get(i, 0) for i in ids]])
            assert len(ids) < len(inputs["input_ids"][0]) or types.equal(tensors["mm_token_type_ids"])
            tensors["mm_token_type_ids"] = types
        tensors["input_ids"] = torch.tensor([ids])
        tensors["attention_mask"] = torch.ones_like(tensors["input_ids"])
        return self.model.model(**tensors).last_hidden_state[0, -1]

    def truncated(self, ids, longest):
        """Qwen3VLEmbedder._truncate_tokens"""
        if len(ids) <= longest:
            return ids
        special = set(self.tokenizer.all_special_ids)
        left = longest - sum(i in special for i in ids)
        out = []
        for i in ids:
            if i in special:
                out.append(i)
            elif left > 0:
                out.append(i)
                left -= 1
        return out


def content_of(entry):
    """What format_model_input and format_mm_content make of an entry: clips, pictures, texts."""
    out = [{"type": "video", "video": "file://" + clip, "fps": 1, "max_frames": 64} for clip in entry.get("clips", [])]
    out += [{"type": "image", "image": picture(p), **PICTURE} for p in entry.get("pictures", [])]
    out += [{"type": "text", "text": t} for t in entry.get("texts", [])]
    return out or [{"type": "text", "text": "NULL"}]


def embed(reference, case):
    instruction = case.get("instruction", "").strip()
    if instruction and not unicodedata.category(instruction[-1]).startswith("P"):
        instruction += "."
    inputs = reference.inputs(
        [
            {"role": "system", "content": [{"type": "text", "text": instruction or "Represent the user's input."}]},
            {"role": "user", "content": content_of(case)},
        ]
    )
    ids, longest = inputs["input_ids"][0], case.get("longest", 8192)
    ids = ids[:longest] if case.get("cut_end") else reference.truncated(ids, longest)
    return ids, torch.nn.functional.normalize(reference.last_state(inputs, ids), p=2, dim=-1).tolist()


def score(reference, case, document):
    instruction = case.get("instruction") or "Given a search query, retrieve relevant candidates that answer the query."
    inputs = reference.inputs(
        [
            {
                "role": "system",
                "content": [
                    {
                        "type": "text",
                        "text": "Judge whether the Document meets the requirements based on the Query and the Instruct "
                        'provided. Note that the answer can only be "yes" or "no".',
                    }
                ],
            },
            {
                "role": "user",
                "content": [{"type": "text", "text": "<Instruct>: " + instruction}]
                + [{"type": "text", "text": "<Query>:"}, *content_of(case["query"])]
                + [{"type": "text", "text": "\n<Document>:"}, *content_of(document)],
            },
        ]
    )
    ids = inputs["input_ids"][0]
    ids = reference.truncated(ids[:-5], case.get("longest", 10240)) + ids[-5:]
    vocabulary, head = reference.tokenizer.get_vocab(), reference.model.lm_head.weight.data
    difference = head[vocabulary[case["yes"]]] - head[vocabulary[case["no"]]]
    return torch.sigmoid(reference.last_state(inputs, ids) @ difference).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=41)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    colours = ["red", "blue", "green", "yellow", "purple", "orange", "black"]
    shapes = ["circle", "square", "star", "triangle", "cross"]

    def words(n):
        return " ".join(f"a {rng.choice(colours)} {rng.choice(shapes)}" for _ in range(n))

    clip = ["shapes_eval/images/012%s.png" % c for c in "abcdef"]
    CLIPS["slow"], CLIPS["fast"] = (clip, 1.0), (clip, 0.7)
    embeddings = [
        {"name": "text", "texts": [words(2)]},
        {"name": "nothing"},
        {"name": "empty text", "texts": [""]},
        {"name": "instruction", "texts": [words(1)], "instruction": "  Find a picture of this shape\u00a0"},
        {"name": "ends in a mark", "texts": [words(1)], "instruction": "Which one\uff1f"},
        {"name": "picture", "pictures": ["shapes_eval/images/011.png"]},
        {"name": "thin picture", "pictures": ["images/thin.png"], "texts": [words(1)]},
        {"name": "plain photo", "pictures": ["images/gray.png"]},
        {"name": "mixture", "pictures": ["images/up.png", "images/down.png"], "texts": [words(1), words(1)]},
        {"name": "clip", "clips": ["slow"]},
        {"name": "all", "clips": ["fast"], "pictures": ["images/up.png"], "texts": [words(2)]},
        {"name": "cut", "pictures": ["images/up.png"], "texts": [words(30)], "longest": 90},
        {"name": "cut at the end", "texts": [words(30)], "longest": 90, "cut_end": True},
    ]
    scores = [
        {
            "name": "texts and pictures",
            "query": {"texts": [words(1)]},
            "documents": [
                {"texts": [words(2)]},
                {"pictures": ["shapes_eval/images/011.png"]},
                {"pictures": ["images/up.png"], "texts": [words(1)]},
                {},
            ],
        },
        {
            "name": "a picture asks",
            "instruction": "Find the same shape",
            "query": {"pictures": ["images/up.png"]},
            "documents": [{"texts": [words(1)]}, {"clips": ["slow"]}],
        },
        {"name": "cut", "query": {"texts": [words(2)]}, "documents": [{"texts": [words(60)]}], "longest": 150},
    ]
    reference = Reference()
    for case in embeddings:
        case["ids"], case["embedding"] = embed(reference, case)
    for case in scores:
        case["yes"], case["no"] = "Which", "hite"  # the small vocabulary has no "yes"
        case["scores"] = [score(reference, case, d) for d in case["documents"]]
    os.makedirs(os.path.join(args.out, "retrieval"), exist_ok=True)
    clips = {name: {"frames": frames, "fps": fps} for name, (frames, fps) in CLIPS.items()}
    with open(os.path.join(args.out, "retrieval", "cases.json"), "w") as f:
        json.dump({"clips": clips, "embeddings": embeddings, "scores": scores}, f, indent=None)
        f.write("\n")


if __name__ == "__main__":
    main()
