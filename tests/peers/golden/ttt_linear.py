"""TTT-Linear and TTT-MLP of their authors' release, https://github.com/test-time-training/ttt-lm-pytorch, in float64.

Its folder is $ZOO_PEERS_SOURCES/ttt-lm-pytorch. The release was written for an earlier transformers and computes some of
its constants in float32: what is missing is put in its place when the file is loaded, and the constants are made again.
"""

import importlib.util
import os
import pathlib
import sys

import common
import torch


def release():
    """The release's module ttt.py."""
    if "ttt_lm_pytorch" in sys.modules:
        return sys.modules["ttt_lm_pytorch"]
    import transformers.utils.import_utils as import_utils

    # Without the convolution kernels for GPUs, the release takes torch's.
    import_utils.is_causal_conv1d_available = lambda: False
    path = pathlib.Path(os.environ["ZOO_PEERS_SOURCES"]) / "ttt-lm-pytorch" / "ttt.py"
    spec = importlib.util.spec_from_file_location("ttt_lm_pytorch", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["ttt_lm_pytorch"] = module
    spec.loader.exec_module(module)
    return module


def rotary(module):
    """Of the release's RotaryEmbedding, without its casts to float32."""

    def forward(x, position_ids):
        exponents = torch.arange(0, module.dim, 2).double() / module.dim
        angles = position_ids[:, :, None].double() * module.base**-exponents
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()

    return forward


def ttt(layer, name, d_model, heads, length, seed, mini_batch=16, base_lr=None, gate=False, share_qk=False, conv_kernel=4,
        rope_base=10000.0, kind=None):
    """A case of zoo's layer `layer`, of the release's `kind`: linear or mlp, by the layer's name when not given."""
    kind = kind or ("mlp" if layer.endswith("mlp") else "linear")
    base_lr = base_lr or {"linear": 1.0, "mlp": 0.1}[kind]
    ttt_lm = release()
    config = ttt_lm.TTTConfig(
        hidden_size=d_model,
        num_attention_heads=heads,
        mini_batch_size=mini_batch,
        ttt_base_lr=base_lr,
        use_gate=gate,
        share_qk=share_qk,
        conv_kernel=conv_kernel,
        rope_theta=rope_base,
    )
    # Newer versions of transformers take rope_theta for themselves.
    config.rope_theta = rope_base
    module = {"linear": ttt_lm.TTTLinear, "mlp": ttt_lm.TTTMLP}[kind](config, layer_idx=0).double()
    module.token_idx = 1.0 / torch.arange(1, mini_batch + 1).double()
    module.rotary_emb.forward = rotary(module.rotary_emb)
    common.randomise(module, seed)
    options = {
        "heads": heads,
        "mini_batch": mini_batch,
        "base_lr": base_lr,
        "gate": gate,
        "share_qk": share_qk,
        "conv_kernel": conv_kernel,
        "rope_base": rope_base,
    }
    if layer == "ttt":
        options["inner"] = kind
    common.case(
        layer,
        name,
        lambda x: module(x, position_ids=torch.arange(length).expand(len(x), -1)),
        dict(module.named_parameters()),
        d_model,
        options,
        length=length,
        seed=seed,
        reference=f"ttt-lm-pytorch's {type(module).__name__} with torch {torch.__version__} (Sun et al. 2024)",
    )


def main():
    ttt("ttt_linear", "transformer", d_model=16, heads=2, length=37, seed=100)
    ttt("ttt_linear", "mamba", d_model=16, heads=2, length=22, seed=110, mini_batch=5, gate=True, share_qk=True)
    ttt("ttt_linear", "short", d_model=16, heads=1, length=7, seed=120, base_lr=0.5, rope_base=100.0)
    ttt("ttt_linear", "online", d_model=12, heads=2, length=9, seed=130, mini_batch=1, share_qk=True, conv_kernel=3)


if __name__ == "__main__":
    main()
