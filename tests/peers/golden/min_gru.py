"""min_gru, from its definition: h_t = (1 - z_t) h_{t-1} + z_t h~_t, in torch."""

import common
import torch
from torch.nn import functional


def min_gru(name, d_model, seed, length):
    weights = {}
    for index, gate in enumerate("zh"):
        weights[f"linear_{gate}.weight"] = common.random(d_model, d_model, scale=d_model**-0.5, seed=seed + 100 + index)
        weights[f"linear_{gate}.bias"] = common.random(d_model, scale=0.5, seed=seed + 200 + index)

    def forward(x):
        z = functional.linear(x, weights["linear_z.weight"], weights["linear_z.bias"]).sigmoid()
        candidate = functional.linear(x, weights["linear_h.weight"], weights["linear_h.bias"])
        h, outputs = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = (1 - z[:, t]) * h + z[:, t] * candidate[:, t]
            outputs.append(h)
        return torch.stack(outputs, 1)

    reference = "its definition in torch (Feng et al. 2024, section 3.1)"
    common.case("min_gru", name, forward, weights, d_model, length=length, seed=seed, reference=reference)


def main():
    min_gru("even", 16, 10, 24)
    min_gru("odd", 13, 20, 37)


if __name__ == "__main__":
    main()
