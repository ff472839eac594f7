"""Layers alone, forward and backward, in PyTorch on the CPU, timed in turn with `zoo bench layers`.

Each peer is the public implementation that people run where they have no GPU:

  attention         scaled_dot_product_attention between its projections
  linear_attention  matmuls over chunks of 64, written here
  ttt_linear, _mlp  the authors' ttt-lm-pytorch ($ZOO_PEERS_SOURCES/ttt-lm-pytorch)
  mamba             transformers' mixer with mambapy's parallel scan
  mamba2            transformers' mixer in its chunked form
  rwkv4             transformers' time mix
  delta_net         flash-linear-attention's delta_rule_chunkwise (fla/ops/delta_rule/naive.py in $ZOO_PEERS_SOURCES),
                    in the module that surrounds it there

A round times each side once per layer, one after the other, so that both meet the same machine; the ratio of a round is
PyTorch's time over zoo's. Gradients go to the input and to every parameter on both sides.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "golden"))

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # that there is no GPU is known

HEADS = 4


class Projected(nn.Module):
    """Heads of q, k and v from projections, and a projection of what the mixing of them gives."""

    def __init__(self, d_model):
        super().__init__()
        for name in "qkvo":
            setattr(self, name, nn.Linear(d_model, d_model, bias=False))

    def forward(self, x):
        q, k, v = (getattr(self, name)(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for name in "qkv")
        return self.o(self.mix(q, k, v).transpose(1, 2).flatten(2))


class Attention(Projected):
    def mix(self, q, k, v):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


class LinearAttention(Projected):
    chunk = 64

    def mix(self, q, k, v):
        q, k, v = (z.unflatten(2, (-1, self.chunk)) for z in (q, k, v))
        states = (k.transpose(-1, -2) @ v).cumsum(2)
        before = functional.pad(states[:, :, :-1], (0, 0, 0, 0, 1, 0))
        inside = (q @ k.transpose(-1, -2)).tril() @ v
        return (inside + q @ before).flatten(2, 3)


def attention(setting):
    return Attention(setting.d_model)


def linear_attention(setting):
    return LinearAttention(setting.d_model)


def ttt(kind):
    def build(setting):
        from ttt_linear import release

        torch.set_default_dtype(torch.float32)
        ttt_lm = release()
        config = ttt_lm.TTTConfig(
            hidden_size=setting.d_model,
            num_attention_heads=HEADS,
            mini_batch_size=16,
            ttt_base_lr={"linear": 1.0, "mlp": 0.1}[kind],
            rope_theta=10000.0,
        )
        # Newer versions of transformers take rope_theta for themselves.
        config.rope_theta = 10000.0
        module = {"linear": ttt_lm.TTTLinear, "mlp": ttt_lm.TTTMLP}[kind](config, layer_idx=0)
        positions = torch.arange(setting.seq_len).expand(setting.batch_size, -1)
        return Call(module, lambda x: module(x, position_ids=positions))

    return build


def mamba(setting):
    import mambapy.pscan  # noqa: F401, without it transformers goes step by step
    import transformers
    from transformers.models.mamba.modeling_mamba import MambaMixer

    config = transformers.MambaConfig(hidden_size=setting.d_model, num_hidden_layers=1, use_mambapy=True)
    return MambaMixer(config, layer_idx=0)


def mamba2(setting):
    import transformers
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    config = transformers.Mamba2Config(
        hidden_size=setting.d_model,
        num_hidden_layers=1,
        state_size=128,
        head_dim=64,
        num_heads=2 * setting.d_model // 64,
        n_groups=1,
        expand=2,
    )
    return Mamba2Mixer(config, layer_idx=0)


def rwkv4(setting):
    import transformers
    from transformers.models.rwkv.modeling_rwkv import RwkvSelfAttention

    config = transformers.RwkvConfig(hidden_size=setting.d_model, num_hidden_layers=1, context_length=setting.seq_len)
    module = RwkvSelfAttention(config, layer_id=0)
    return Call(module, lambda x: module(x)[0])


def delta_net(setting):
    from delta_net import DeltaRule

    torch.set_default_dtype(torch.float32)
    path = pathlib.Path(os.environ["ZOO_PEERS_SOURCES"]) / "flash-linear-attention/fla/ops/delta_rule/naive.py"
    naive = {}
    exec(compile(path.read_text(), str(path), "exec"), naive)

    class DeltaNet(DeltaRule):
        def recurrence(self, x, q, k, v, beta):
            q, k, v = (z.transpose(1, 2) for z in (q, k, v))
            o, _ = naive["delta_rule_chunkwise"](q, k, v, beta.transpose(1, 2))
            return o.transpose(1, 2)

    d = setting.d_model // HEADS
    return DeltaNet(setting.d_model, HEADS, d, d, 4, False, False, 1e-5)


class Call(nn.Module):
    """A module that is called in a way of its own."""

    def __init__(self, module, call):
        super().__init__()
        self.module = module
        self.call = call

    def forward(self, x):
        return self.call(x)


# The peer of each layer, zoo's options for it, and how much faster zoo means to be at the least, at the default setting.
PEERS = {
    "attention": (attention, {"heads": HEADS}, 2),
    "linear_attention": (linear_attention, {"heads": HEADS}, 2),
    "ttt_linear": (ttt("linear"), {"heads": HEADS}, 6),
    "ttt_mlp": (ttt("mlp"), {"heads": HEADS}, 12),
    "mamba": (mamba, {}, 20),
    "mamba2": (mamba2, {"state": 128, "head_dim": 64}, 10),
    "rwkv4": (rwkv4, {}, 20),
    "delta_net": (delta_net, {"heads": HEADS}, 4),
}


class Peer:
    """Forward and backward of a peer, ready to be timed."""

    def __init__(self, layer, setting):
        torch.manual_seed(0)
        self.module = PEERS[layer][0](setting).train()
        self.x = torch.randn(setting.batch_size, setting.seq_len, setting.d_model)
        self.dy = torch.randn_like(self.x)
        self.step()

    def step(self):
        for parameter in self.module.parameters():
            parameter.grad = None
        x = self.x.clone().requires_grad_()
        self.module(x).backward(self.dy)
        assert x.grad is not None and x.grad.dtype == torch.float32

    def seconds(self, least):
        """The median of whole steps, for about so many seconds."""
        times = []
        while not times or sum(times) < least:
            begin = time.perf_counter()
            self.step()
            times.append(time.perf_counter() - begin)
        return statistics.median(times)


def zoo_seconds(layer, setting):
    """The same of `zoo bench layers`, and its share of the large-product rate."""
    command = [setting.zoo, "bench", "layers", "--json", "--layers", layer, "--positions", "0"]
    for name in ("seq_len", "d_model", "batch_size", "seconds", "threads"):
        command.append(f"--{name.replace('_', '-')}={getattr(setting, name)}")
    for name, value in PEERS[layer][1].items():
        command += ["--option", f"{name}={value}"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(result.stderr)
    figures = json.loads(result.stdout)["layers"][0]["lengths"][0]
    return figures["forward_backward_seconds"]["median"], figures["sgemm_share"]


def compare(layer, setting):
    peer = Peer(layer, setting)
    rounds = []
    for number in range(setting.rounds):
        theirs = peer.seconds(setting.seconds)
        ours, share = zoo_seconds(layer, setting)
        rounds.append((theirs, ours, theirs / ours, share))
        print(f"{layer}, round {number + 1}: PyTorch {theirs:.3f} s, zoo {ours:.4f} s", file=sys.stderr, flush=True)
    theirs, ours, ratios, shares = zip(*rounds)
    median = statistics.median
    print(
        f"{layer:18} {median(theirs):9.3f} {median(ours):9.4f} {min(ratios):8.1f} {median(ratios):8.1f} "
        f"{max(ratios):8.1f} {PEERS[layer][2]:9} {median(shares):7.2f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", required=True, help="the zoo command to compare with")
    parser.add_argument("--layers", default=",".join(PEERS), help="of: " + ", ".join(PEERS))
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--seq-len", type=int, default=2048)
    parser.add_argument("--d-model", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in turn (3)")
    parser.add_argument("--seconds", type=float, default=1, help="of each side in a round, at the least (1)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both (2)")
    setting = parser.parse_args()
    layers = setting.layers.split(",")
    unknown = [layer for layer in layers if layer not in PEERS]
    if unknown:
        sys.exit(f"no peer for {', '.join(unknown)}; there are {', '.join(PEERS)}")

    torch.set_num_threads(setting.threads)
    torch.set_flush_denormal(True)
    print(
        f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}; batch {setting.batch_size}, "
        f"T {setting.seq_len}, d_model {setting.d_model}, {setting.threads} threads, {setting.rounds} rounds; forward + "
        f"backward\n\n{'':18} {'PyTorch s':>9} {'zoo s':>9} {'ratio':>8} {'median':>8} {'max':>8} {'at least':>9} "
        f"{'share':>7}",
        flush=True,
    )
    for layer in layers:
        compare(layer, setting)


if __name__ == "__main__":
    main()
