"""RWKV-6's time mix: its module as the authors' x060 release has it, around the recurrence of flash-linear-attention."""

import common
import torch
from gla import in_float64
from torch import nn
from torch.nn import functional


def shifted(x):
    """The token before, zeros before the first."""
    return functional.pad(x, (0, 0, 1, -1))


class TimeMix(nn.Module):
    def __init__(self, d_model, heads=1, mix_rank=32, decay_rank=64):
        super().__init__()
        self.heads = heads
        for name in ("x", "w", "k", "v", "r", "g"):
            setattr(self, f"time_maa_{name}", nn.Parameter(torch.empty(1, 1, d_model)))
        self.time_maa_w1 = nn.Parameter(torch.empty(d_model, 5 * mix_rank))
        self.time_maa_w2 = nn.Parameter(torch.empty(5, mix_rank, d_model))
        self.time_decay = nn.Parameter(torch.empty(1, 1, d_model))
        self.time_decay_w1 = nn.Parameter(torch.empty(d_model, decay_rank))
        self.time_decay_w2 = nn.Parameter(torch.empty(decay_rank, d_model))
        self.time_faaaa = nn.Parameter(torch.empty(heads, d_model // heads))
        for name in ("receptance", "key", "value", "gate", "output"):
            setattr(self, name, nn.Linear(d_model, d_model, bias=False))
        self.ln_x = nn.GroupNorm(heads, d_model, eps=64e-5)
        self.recurrence = in_float64("fla/ops/rwkv6/recurrent_naive.py", "naive_recurrent_rwkv6")

    def forward(self, x):
        batch, length, width = x.shape
        xx = shifted(x) - x
        xxx = torch.tanh((x + xx * self.time_maa_x) @ self.time_maa_w1).view(batch * length, 5, -1).transpose(0, 1)
        mw, mk, mv, mr, mg = torch.bmm(xxx, self.time_maa_w2).view(5, batch, length, width).unbind(0)
        xw = x + xx * (self.time_maa_w + mw)
        xk = x + xx * (self.time_maa_k + mk)
        xv = x + xx * (self.time_maa_v + mv)
        xr = x + xx * (self.time_maa_r + mr)
        xg = x + xx * (self.time_maa_g + mg)
        g = functional.silu(self.gate(xg))
        w = self.time_decay + torch.tanh(xw @ self.time_decay_w1) @ self.time_decay_w2
        r, k, v, w = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y in (self.receptance(xr), self.key(xk), self.value(xv), -torch.exp(w))
        )
        o, _ = self.recurrence(r, k, v, w, self.time_faaaa, scale=1.0)
        o = self.ln_x(o.transpose(1, 2).reshape(batch * length, width)).view(batch, length, width)
        return self.output(o * g)


def rwkv6(name, options, d_model, length, seed, decay):
    module = TimeMix(d_model, **options)
    common.randomise(module, seed, shifts={"time_decay": decay, **{f"time_maa_{i}": 0.5 for i in "xwkvrg"}})
    common.case(
        "rwkv6",
        name,
        module,
        dict(module.named_parameters()),
        d_model,
        options,
        length=length,
        seed=seed,
        reference="naive_recurrent_rwkv6 of flash-linear-attention, in float64",
    )


def main():
    rwkv6("slow_decay", {"heads": 2, "mix_rank": 4, "decay_rank": 6}, 16, 40, 10, -4.0)
    rwkv6("fast_decay", {"heads": 3, "mix_rank": 3, "decay_rank": 5}, 24, 37, 20, 1.0)
    rwkv6("default", {}, 16, 24, 30, -1.0)


if __name__ == "__main__":
    main()
