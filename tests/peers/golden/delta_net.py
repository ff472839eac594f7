"""DeltaNet: flash-linear-attention's recurrence, in the module that surrounds it there, written in torch."""

import os
import pathlib

import common
import torch
from torch import nn
from torch.nn import functional


def naive(rule, dtype=torch.float64):
    """The functions of flash-linear-attention's fla/ops/<rule>/naive.py, which compute in float32, or in float64."""
    path = pathlib.Path(os.environ["ZOO_PEERS_SOURCES"]) / "flash-linear-attention/fla/ops" / rule / "naive.py"
    source = path.read_text()
    if dtype == torch.float64:
        source = source.replace("torch.float32", "torch.float64").replace(".float()", ".double()")
    functions = {}
    exec(compile(source, str(path), "exec"), functions)
    return functions


class ShortConv(nn.Conv1d):
    def __init__(self, channels, kernel):
        super().__init__(channels, channels, kernel, groups=channels, padding=kernel - 1, bias=False)

    def forward(self, x):
        return functional.silu(super().forward(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class DeltaRule(nn.Module):
    """What both layers share: everything but the recurrence."""

    def __init__(self, d_model, heads, d_k, d_v, kernel, gate, negative_eigenvalues, eps):
        super().__init__()
        self.heads = heads
        self.beta = 2 if negative_eigenvalues else 1
        for name, width in {"q": heads * d_k, "k": heads * d_k, "v": heads * d_v}.items():
            setattr(self, f"{name}_proj", nn.Linear(d_model, width, bias=False))
            setattr(self, f"{name}_conv1d", ShortConv(width, kernel))
        self.b_proj = nn.Linear(d_model, heads, bias=False)
        self.g_proj = nn.Linear(d_model, heads * d_v, bias=False) if gate else None
        self.o_norm = RMSNorm(d_v, eps)
        self.o_proj = nn.Linear(heads * d_v, d_model, bias=False)

    def forward(self, x):
        q, k, v = (
            getattr(self, f"{name}_conv1d")(getattr(self, f"{name}_proj")(x)).unflatten(-1, (self.heads, -1))
            for name in "qkv"
        )
        q, k = (z * torch.rsqrt(z.square().sum(-1, keepdim=True) + 1e-6) for z in (q, k))
        o = self.o_norm(self.recurrence(x, q, k, v, self.beta * torch.sigmoid(self.b_proj(x)))).flatten(-2)
        return self.o_proj(o if self.g_proj is None else o * functional.silu(self.g_proj(x)))


class DeltaNet(DeltaRule):
    def recurrence(self, x, q, k, v, beta):
        o, _ = naive("delta_rule")["delta_rule_recurrence"](*(z.transpose(1, 2) for z in (q, k, v, beta)))
        return o.transpose(1, 2)


def delta_net(name, d_model, length, seed, **options):
    given = {"heads": 4, "expand_k": 1, "expand_v": 1, "conv_kernel": 4, "gate": False, "negative_eigenvalues": False}
    given = {**given, "norm_eps": 1e-5, **options}
    d_k, d_v = (round(d_model * given[f"expand_{z}"]) // given["heads"] for z in "kv")
    module = DeltaNet(d_model, given["heads"], d_k, d_v, given["conv_kernel"], given["gate"],
                      given["negative_eigenvalues"], given["norm_eps"])
    common.randomise(module, seed)
    common.case(
        "delta_net",
        name,
        module,
        dict(module.named_parameters()),
        d_model,
        options,
        length=length,
        seed=seed,
        reference="flash-linear-attention's naive delta rule in float64, the module around it in torch",
    )


def main():
    delta_net("default", 16, 70, 10)
    delta_net("gate", 16, 33, 20, heads=2, gate=True, expand_k=0.5, expand_v=1.5, conv_kernel=3)
    delta_net("negative_eigenvalues", 18, 40, 30, heads=3, negative_eigenvalues=True, norm_eps=1e-6)


if __name__ == "__main__":
    main()
