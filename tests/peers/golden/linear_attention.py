"""Linear attention, from its definition: z_t = sum_{s<=t} gamma_h^(t-s) v_s (phi(k_s) . phi(q_t)), in torch."""

import common
import torch
from torch.nn import functional


def taylor(x):
    """[1, x / d^(1/4), (x outer x) / sqrt(2d)], so that phi(q).phi(k) = 1 + s + s^2/2 with s = q.k/sqrt(d)."""
    d = x.shape[-1]
    pairs = (x[..., :, None] * x[..., None, :]).flatten(-2) / (2 * d) ** 0.5
    return torch.cat((torch.ones_like(x[..., :1]), x / d**0.25, pairs), dim=-1)


FEATURE_MAPS = {
    "identity": lambda x: x,
    "elu1": lambda x: functional.elu(x) + 1,
    "relu": functional.relu,
    "softmax": lambda x: x.softmax(-1),
    "taylor": taylor,
}


def linear_attention(name, options, d_model, seed):
    heads = options.get("heads", 1)
    phi = FEATURE_MAPS[options.get("feature_map", "identity")]
    weights = {
        f"{p}_proj.weight": common.random(d_model, d_model, scale=d_model**-0.5, seed=seed + i)
        for i, p in enumerate("qkvo", 100)
    }

    def forward(x):
        length = x.shape[1]
        q, k, v = (
            functional.linear(x, weights[f"{p}_proj.weight"]).unflatten(-1, (heads, -1)).transpose(1, 2) for p in "qkv"
        )
        lag = torch.arange(length)[:, None] - torch.arange(length)
        gamma = torch.ones(heads)
        if options.get("decay") == "retnet":
            gamma = 1 - 2.0 ** (-5 - torch.arange(heads).double())
        decay = torch.where(lag >= 0, gamma[:, None, None] ** lag.clamp(min=0), 0.0)
        scores = phi(q) @ phi(k).transpose(-1, -2) * decay
        z = scores @ v
        if options.get("normalise"):
            z = z / (scores.sum(-1, keepdim=True) + (1e-12 if phi is taylor else 0))
        return functional.linear(z.transpose(1, 2).flatten(2), weights["o_proj.weight"])

    common.case(
        "linear_attention",
        name,
        forward,
        weights,
        d_model,
        options,
        length=37,
        seed=seed,
        reference="its definition in torch (Katharopoulos et al. 2020)",
    )


def main():
    linear_attention("identity", {}, 16, 10)
    linear_attention("elu1_normalised", {"heads": 4, "feature_map": "elu1", "normalise": True}, 16, 20)
    linear_attention("softmax_decay", {"heads": 2, "feature_map": "softmax", "decay": "retnet", "normalise": True}, 24, 30)
    linear_attention("relu_decay", {"heads": 2, "feature_map": "relu", "decay": "retnet"}, 16, 40)
    linear_attention("taylor", {"heads": 2, "feature_map": "taylor", "normalise": True}, 16, 50)


if __name__ == "__main__":
    main()
