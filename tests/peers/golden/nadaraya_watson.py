"""The Nadaraya-Watson estimator, from its definition, in torch: sum_s kappa(q_t, k_s) y_s / sum_s kappa(q_t, k_s)."""

import math

import common
import torch
from torch.nn import functional


def kappa(kernel, q, k, h):
    """[B,H,T,T] from q and k [B,H,T,d] and h [H,1,1]."""
    difference = q[:, :, :, None] - k[:, :, None]
    square = difference.square().sum(-1)
    if kernel == "exp":
        return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).exp()
    if kernel == "gaussian":
        return (-square / (2 * h**2)).exp()
    if kernel == "laplacian":
        return (-difference.abs().sum(-1) / h).exp()
    return functional.relu(1 - square / h**2)


def nadaraya_watson(kernel, heads, d_model, seed, weight_scale=1.0):
    weights = {
        f"{p}_proj.weight": common.random(
            d_model, d_model, scale=(weight_scale if p in "qk" else 1) * d_model**-0.5, seed=seed + i
        )
        for i, p in enumerate("qkvo", 100)
    }
    if kernel != "exp":
        weights["log_h"] = common.random(heads, scale=0.2, shift=math.log(d_model / heads) / 2, seed=seed)

    def forward(x):
        length = x.shape[1]
        q, k, y = (
            functional.linear(x, weights[f"{p}_proj.weight"]).unflatten(-1, (heads, -1)).transpose(1, 2) for p in "qkv"
        )
        h = weights["log_h"].exp()[:, None, None] if "log_h" in weights else None
        mask = torch.ones(length, length).tril()
        kernel_values = kappa(kernel, q, k, h) * mask
        total = kernel_values.sum(-1, keepdim=True)
        alone = total == 0  # a query with no neighbour returns its own y
        f = torch.where(alone, y, kernel_values @ y / torch.where(alone, 1.0, total))
        return functional.linear(f.transpose(1, 2).flatten(2), weights["o_proj.weight"])

    common.case(
        "nadaraya_watson",
        kernel,
        forward,
        weights,
        d_model,
        {"heads": heads, "kernel": kernel},
        length=29,
        seed=seed,
        reference="its definition in torch (Nadaraya 1964, Watson 1964)",
    )


def main():
    nadaraya_watson("exp", 2, 16, 10)
    nadaraya_watson("gaussian", 2, 16, 20)
    nadaraya_watson("laplacian", 4, 16, 30)
    nadaraya_watson("epanechnikov", 2, 16, 40, weight_scale=0.6)


if __name__ == "__main__":
    main()
