"""Mamba's mixer: transformers' MambaMixer, by its recurrence step by step."""

import contextlib

import common
import torch
import transformers
from transformers.models.mamba.modeling_mamba import MambaMixer


@contextlib.contextmanager
def float_is_double():
    """The reference computes a few things in float32 whatever the model's precision; here in float64."""
    kept = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.Tensor.float = kept


def mamba(name, options, d_model, seed, **kwargs):
    config = transformers.MambaConfig(
        hidden_size=d_model,
        state_size=options.get("state", 16),
        expand=options.get("expand", 2),
        conv_kernel=options.get("conv_kernel", 4),
        time_step_rank=options.get("dt_rank", "auto"),
    )
    module = MambaMixer(config, layer_idx=0).double()
    module.eval()  # the training mode asks for a kernel on the GPU
    common.randomise(module, seed, shifts={"A_log": 0.5, "dt_proj.bias": -1.0})
    weights = {parameter: tensor.detach().clone() for parameter, tensor in module.named_parameters()}

    def forward(x):
        with float_is_double():
            return torch.func.functional_call(module, weights, (x,))

    reference = f"MambaMixer of transformers {transformers.__version__}"
    common.case("mamba", name, forward, weights, d_model, options, seed=seed, reference=reference, **kwargs)


def main():
    mamba("defaults", {}, 16, 10)
    mamba("wide", {"state": 5, "expand": 3, "conv_kernel": 3}, 12, 20, length=37)
    mamba("rank", {"dt_rank": 5, "conv_kernel": 2, "expand": 1, "state": 8}, 17, 30)


if __name__ == "__main__":
    main()
