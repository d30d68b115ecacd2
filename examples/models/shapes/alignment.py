"""The alignment policy of include/qwen3vl/alignment as a PyTorch module beside transformers' Qwen3-VL: what its golden data
is made with and its weights are trained with. The names of its parameters are those of the library's files."""

import torch, torch.nn as nn, torch.nn.functional as F


class Projected(nn.Module):
    """Phrases and regions of a picture in one space of `rank` directions."""

    def __init__(self, hidden, rank):
        super().__init__()
        self.text, self.visual = nn.Linear(hidden, rank, bias=False), nn.Linear(hidden, rank, bias=False)

    def tensors(self):
        return {"alignment." + name: p.detach().float().contiguous() for name, p in self.named_parameters()}

    def map(self, words, regions):
        """Cosines [..., regions] of the mean of a phrase's words [..., words, hidden] with regions [..., regions, hidden]."""
        t = F.normalize(self.text(words.mean(-2)), dim=-1)
        return (F.normalize(self.visual(regions), dim=-1) @ t.unsqueeze(-1)).squeeze(-1)

    def scores(self, words, regions):
        """Late interaction [phrases, pictures] of words [phrases, words, hidden] with regions [pictures, regions, hidden]
        (Yao et al., 2021, "FILIP", equations 4 and 5, from text to picture): the mean over the words of each word's
        largest cosine."""
        t, v = F.normalize(self.text(words), dim=-1), F.normalize(self.visual(regions), dim=-1)
        return torch.einsum("pwr,qkr->pqwk", t, v).amax(-1).mean(-1)
