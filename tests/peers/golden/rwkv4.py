"""RWKV-4's time mixing: transformers' RwkvSelfAttention, whose CPU form is a loop over steps."""

import common
import torch
import transformers
from mamba import float_is_double
from transformers.models.rwkv.modeling_rwkv import RwkvSelfAttention


def of_transformers(layer, module, name, d_model, seed, scale=1.0, **kwargs):
    config = transformers.RwkvConfig(hidden_size=d_model, num_hidden_layers=1, context_length=64)
    module = module(config).double()
    starts = {"time_decay": -1.0, "time_first": 0.5}
    starts |= {f"time_mix_{part}": 0.5 for part in ("key", "value", "receptance")}
    common.randomise(module, seed, shifts=starts)
    weights = {parameter: tensor.detach().clone() for parameter, tensor in module.named_parameters()}
    weights["key.weight"] *= scale

    def forward(x):
        with float_is_double():
            return torch.func.functional_call(module, weights, (x,))[0]

    reference = f"{type(module).__name__} of transformers {transformers.__version__}"
    common.case(layer, name, forward, weights, d_model, seed=seed, reference=reference, **kwargs)


def main():
    of_transformers("rwkv4", RwkvSelfAttention, "even", 16, 10)
    of_transformers("rwkv4", RwkvSelfAttention, "odd", 13, 20, length=37)
    # Keys far apart, so that the maximum that sums are relative to changes hands.
    of_transformers("rwkv4", RwkvSelfAttention, "large_keys", 16, 30, scale=16.0)


if __name__ == "__main__":
    main()
