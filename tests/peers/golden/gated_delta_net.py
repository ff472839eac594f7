"""Gated DeltaNet: flash-linear-attention's recurrence, in the module that surrounds it there, written in torch."""

import copy

import common
import torch
from delta_net import DeltaRule, naive
from torch import nn
from torch.nn import functional


class GatedDeltaNet(DeltaRule):
    def __init__(self, d_model, heads, *rest):
        super().__init__(d_model, heads, *rest)
        self.a_proj = nn.Linear(d_model, heads, bias=False)
        self.A_log = nn.Parameter(torch.log(torch.linspace(0.5, 8, heads)))
        self.dt_bias = nn.Parameter(torch.full((heads,), -2.0))

    def recurrence(self, x, q, k, v, beta):
        log_decay = -self.A_log.exp() * functional.softplus(self.a_proj(x) + self.dt_bias)
        return naive("gated_delta_rule", x.dtype)["naive_recurrent_gated_delta_rule"](q, k, v, beta, log_decay)[0]


def gated_delta_net(name, d_model, length, seed, **options):
    given = {"heads": 2, "expand_v": 2, "conv_kernel": 4, "gate": True, "negative_eigenvalues": False, "norm_eps": 1e-5}
    given = {"head_dim": d_model // options.get("heads", 2), **given, **options}
    d_v = round(given["head_dim"] * given["expand_v"])
    module = GatedDeltaNet(d_model, given["heads"], given["head_dim"], d_v, given["conv_kernel"], given["gate"],
                           given["negative_eigenvalues"], given["norm_eps"])
    common.randomise(module, seed)
    common.case(
        "gated_delta_net",
        name,
        module,
        dict(module.named_parameters()),
        d_model,
        options,
        length=length,
        seed=seed,
        in_float32=copy.deepcopy(module).float(),
        reference="flash-linear-attention's naive gated delta rule in float64, the module around it in torch",
    )


def main():
    gated_delta_net("default", 16, 70, 10)
    # Heads of 4 channels would do, but a key may then come so near to 0 that float32 cannot tell its direction.
    gated_delta_net("no_gate", 16, 33, 20, heads=3, head_dim=6, expand_v=1.5, gate=False, conv_kernel=3)
    gated_delta_net("negative_eigenvalues", 16, 40, 30, heads=1, head_dim=12, expand_v=1, negative_eigenvalues=True,
                    norm_eps=1e-6)


if __name__ == "__main__":
    main()
