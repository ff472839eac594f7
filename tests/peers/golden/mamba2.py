"""Mamba-2: transformers' mixer, on the chunked form that it falls back to without a GPU."""

import importlib.util
import sys

import common
import transformers


def float64_module():
    """transformers' file with its float32 arithmetic made float64."""
    spec = importlib.util.find_spec("transformers.models.mamba2.modeling_mamba2")
    source = spec.loader.get_source(spec.name).replace(".float()", ".double()").replace("torch.float32", "torch.float64")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    exec(compile(source, spec.origin, "exec"), module.__dict__)
    return module


def mamba2(modeling, name, options, d_model, length, seed):
    expand, width = options.get("expand", 2), options.get("head_dim", 64)
    config = transformers.Mamba2Config(
        hidden_size=d_model,
        num_heads=expand * d_model // width,
        head_dim=width,
        state_size=options.get("state", 128),
        expand=expand,
        n_groups=options.get("groups", 1),
        conv_kernel=options.get("conv_kernel", 4),
        chunk_size=16,
        num_hidden_layers=1,
        layer_norm_epsilon=1e-5,
    )
    mixer = modeling.Mamba2Mixer(config, layer_idx=0).double()
    common.randomise(mixer, seed)
    common.case(
        "mamba2",
        name,
        mixer,
        dict(mixer.named_parameters()),
        d_model,
        options,
        length=length,
        seed=seed,
        reference=f"Mamba2Mixer of transformers {transformers.__version__}, in float64",
    )


def main():
    modeling = float64_module()
    mamba2(modeling, "one_group", {"state": 24, "head_dim": 8}, 16, 40, 10)
    mamba2(modeling, "groups", {"state": 5, "head_dim": 4, "groups": 2, "conv_kernel": 3, "expand": 3}, 16, 37, 20)
    mamba2(modeling, "default", {}, 32, 15, 30)


if __name__ == "__main__":
    main()
