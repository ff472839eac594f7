"""Gated linear attention: its module as the paper has it, around the recurrence of flash-linear-attention, in torch."""

import os
import pathlib

import common
import torch
from torch import nn
from torch.nn import functional


def in_float64(path, name):
    """A function of a file of flash-linear-attention, with its float32 arithmetic made float64. Each of these files
    needs nothing but torch, while the package itself needs a GPU's compiler."""
    source = (pathlib.Path(os.environ["ZOO_PEERS_SOURCES"]) / "flash-linear-attention" / path).read_text()
    namespace = {}
    exec(source.replace(".float()", ".double()").replace("torch.float32", "torch.float64").replace("torch.float)", "torch.float64)"), namespace)
    return namespace[name]


class GatedLinearAttention(nn.Module):
    def __init__(self, d_model, heads=4, expand_k=0.5, expand_v=1.0, gate_rank=16, gate_normalizer=16, norm_eps=1e-5):
        super().__init__()
        keys, values = int(d_model * expand_k), int(d_model * expand_v)
        self.heads, self.gate_normalizer = heads, gate_normalizer
        self.q_proj = nn.Linear(d_model, keys, bias=False)
        self.k_proj = nn.Linear(d_model, keys, bias=False)
        self.v_proj = nn.Linear(d_model, values, bias=False)
        self.g_proj = nn.Linear(d_model, values, bias=False)
        self.gk_proj = nn.Sequential(nn.Linear(d_model, gate_rank, bias=False), nn.Linear(gate_rank, keys))
        self.g_norm_swish_gate = nn.RMSNorm(values // heads, eps=norm_eps)
        self.o_proj = nn.Linear(values, d_model, bias=False)
        self.recurrence = in_float64("fla/ops/gla/naive.py", "naive_recurrent_gla")

    def forward(self, x):
        gate = functional.logsigmoid(self.gk_proj(x)) / self.gate_normalizer
        q, k, v, gate = (
            y.unflatten(-1, (self.heads, -1)) for y in (self.q_proj(x), self.k_proj(x), self.v_proj(x), gate)
        )
        o, _ = self.recurrence(q, k, v, gate)
        g = self.g_proj(x).unflatten(-1, (self.heads, -1))
        return self.o_proj((self.g_norm_swish_gate(o) * functional.silu(g)).flatten(-2))


def gla(name, options, d_model, seed, scale=1.0):
    module = GatedLinearAttention(d_model, **options)
    common.randomise(module, seed)
    common.case(
        "gla",
        name,
        module,
        dict(module.named_parameters()),
        d_model,
        options,
        length=40,
        seed=seed,
        scale=scale,
        reference="naive_recurrent_gla of flash-linear-attention, in float64",
    )


def main():
    gla("default", {}, 32, 10)
    gla("strong_gate", {"heads": 2, "expand_k": 1, "expand_v": 1.5, "gate_rank": 5, "gate_normalizer": 0.5}, 16, 20, 1.5)
    gla("one_head", {"heads": 1, "gate_normalizer": 4, "norm_eps": 1e-6}, 18, 30)


if __name__ == "__main__":
    main()
