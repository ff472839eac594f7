"""RetNet: its module as LLaMA-like code bases have it, around the retention of flash-linear-attention, in torch."""

import common
import torch
from gla import in_float64
from torch import nn
from torch.nn import functional


def rotate_half(x, base=10000.0):
    """Rotary positions of x [B,T,H,d]: channels i and i + d/2 turn by t base^(-2i/d)."""
    width = x.shape[-1]
    frequency = base ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.outer(torch.arange(x.shape[1], dtype=torch.float64), frequency)[:, None]
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * angle.cos() - right * angle.sin(), right * angle.cos() + left * angle.sin()), dim=-1)


class MultiScaleRetention(nn.Module):
    def __init__(self, d_model, heads=1, expand_v=2.0, norm_eps=1e-5):
        super().__init__()
        values = int(d_model * expand_v)
        self.heads = heads
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, values, bias=False)
        self.g_proj = nn.Linear(d_model, values, bias=False)
        self.g_norm_swish_gate = nn.RMSNorm(values // heads, eps=norm_eps)
        self.o_proj = nn.Linear(values, d_model, bias=False)
        self.retention = in_float64("fla/ops/retention/naive.py", "naive_retention")

    def forward(self, x):
        q, k, v, g = (p(x).unflatten(-1, (self.heads, -1)) for p in (self.q_proj, self.k_proj, self.v_proj, self.g_proj))
        q, k = rotate_half(q), rotate_half(k)
        o = self.retention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)
        return self.o_proj((self.g_norm_swish_gate(o) * functional.silu(g)).flatten(-2))


def retnet(name, options, d_model, length, seed):
    module = MultiScaleRetention(d_model, **options)
    common.randomise(module, seed)
    common.case(
        "retnet",
        name,
        module,
        dict(module.named_parameters()),
        d_model,
        options,
        length=length,
        seed=seed,
        reference="naive_retention of flash-linear-attention, in float64",
    )


def main():
    retnet("default", {}, 16, 40, 10)
    retnet("heads", {"heads": 4, "expand_v": 1.5, "norm_eps": 1e-6}, 24, 33, 20)


if __name__ == "__main__":
    main()
