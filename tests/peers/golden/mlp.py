"""The feed-forward of GPT-2: transformers' GPT2MLP."""

import common
import torch
import transformers
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP


def main():
    d_model, expand = 16, 3
    module = GPT2MLP(expand * d_model, transformers.GPT2Config(n_embd=d_model, resid_pdrop=0.0)).double()
    common.randomise(module, 10, scale=d_model**-0.5)
    inside = dict(module.named_parameters())
    # GPT-2 keeps its matrices as [in, out].
    weights = {}
    for ours, theirs in (("fc1", "c_fc"), ("fc2", "c_proj")):
        weights[f"{ours}.weight"] = inside[f"{theirs}.weight"].detach().T.contiguous()
        weights[f"{ours}.bias"] = inside[f"{theirs}.bias"].detach().clone()

    def forward(x):
        transposed = {f"{theirs}.weight": weights[f"{ours}.weight"].T for ours, theirs in (("fc1", "c_fc"), ("fc2", "c_proj"))}
        biases = {f"{theirs}.bias": weights[f"{ours}.bias"] for ours, theirs in (("fc1", "c_fc"), ("fc2", "c_proj"))}
        return torch.func.functional_call(module, {**transposed, **biases}, (x,))

    common.case(
        "mlp",
        "expand_3",
        forward,
        weights,
        d_model,
        {"expand": expand},
        seed=10,
        reference=f"GPT2MLP of transformers {transformers.__version__}",
    )


if __name__ == "__main__":
    main()
