"""The MQAR training step in PyTorch, timed in turn with `zoo bench step`.

The model is Zoology's for its recall experiments (Arora et al. 2023, github.com/HazyResearch/zoology), written anew from
its description: token and position embeddings with dropout, pre-norm blocks of single-head attention with biases and
attention dropout, a feed-forward that is the identity (its norm stands), a last norm, and a head tied to the embedding.
The step is run in three forms:

  zoology    as Zoology's trainer does it: logits at every position, cross-entropy that ignores the unlabelled ones
  labelled   the last norm, the head and the cross-entropy on labelled rows only
  compiled   the same under torch.compile

Each round times every form and zoo once, one after the other, so that all of them meet the same machine. Nothing but the
step is timed for PyTorch: its batches lie ready in memory, while zoo makes its own within the step.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Setting:
    """What both sides train."""

    name: str
    d_model: int
    seq_len: int
    kv_pairs: int
    batch_size: int
    forms: tuple  # which forms of the PyTorch step are timed
    vocab_size: int = 8192
    blocks: int = 2
    dropout: float = 0.1  # of the embedding and of attention's weights
    learning_rate: float = 1e-3
    weight_decay: float = 0.1


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("short", 64, 64, 4, 512, ("zoology", "labelled", "compiled")),
        Setting("long", 128, 256, 16, 256, ("compiled",)),
    )
}


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d)) v over the past, with one projection for q, k and v."""

    def __init__(self, setting):
        super().__init__()
        self.qkv = nn.Linear(setting.d_model, 3 * setting.d_model)
        self.output = nn.Linear(setting.d_model, setting.d_model)
        self.dropout = nn.Dropout(setting.dropout)
        self.scale = 1 / math.sqrt(setting.d_model)

    def forward(self, x):
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        scores = query @ (key * self.scale).transpose(-1, -2)
        future = torch.full(scores.shape[-2:], -10000.0).triu(1)
        weights = self.dropout(functional.softmax(scores + future, dim=-1))
        return self.output(weights @ value)


class Block(nn.Module):
    """Mixer and identity feed-forward, each behind a norm of the residual sum."""

    def __init__(self, setting):
        super().__init__()
        self.mixer_norm = nn.LayerNorm(setting.d_model)
        self.mixer = Attention(setting)
        self.feed_forward_norm = nn.LayerNorm(setting.d_model)

    def forward(self, hidden, residual):
        residual = hidden + residual
        residual = self.mixer(self.mixer_norm(residual)) + residual
        return self.feed_forward_norm(residual), residual


class Model(nn.Module):
    """The language model; `rows` picks the positions (of the flattened batch) whose logits are wanted."""

    def __init__(self, setting):
        super().__init__()
        self.tokens = nn.Embedding(setting.vocab_size, setting.d_model)
        self.positions = nn.Embedding(setting.seq_len, setting.d_model)
        self.dropout = nn.Dropout(setting.dropout)
        self.blocks = nn.ModuleList(Block(setting) for _ in range(setting.blocks))
        self.norm = nn.LayerNorm(setting.d_model)
        self.head = nn.Linear(setting.d_model, setting.vocab_size, bias=False)
        self.apply(self.initialize)
        for block in self.blocks:
            nn.init.normal_(block.mixer.output.weight, std=0.02 / math.sqrt(2 * setting.blocks))
        self.head.weight = self.tokens.weight

    @staticmethod
    def initialize(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, tokens, rows=None):
        hidden = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        hidden = self.dropout(hidden)
        residual = torch.zeros_like(hidden)
        for block in self.blocks:
            hidden, residual = block(hidden, residual)
        hidden = hidden + residual
        if rows is not None:
            hidden = hidden.flatten(0, 1)[rows]
        return self.head(self.norm(hidden))


def make_batches(setting, count, seed=0):
    """Batches (tokens [B,T], labels [B,T] with -100 where unlabelled, labelled rows [B*kv]) of MQAR with filler 0."""
    generator = torch.Generator().manual_seed(seed)
    batch, length, pairs = setting.batch_size, setting.seq_len, setting.kv_pairs
    half = setting.vocab_size // 2
    context = 2 * pairs
    gaps = torch.arange(1, (length - context) // 2 + 1, dtype=torch.float64) ** (0.01 - 1)
    batches = []
    for _ in range(count):
        keys = 1 + torch.rand(batch, half - 1, generator=generator).topk(pairs).indices
        values = half + torch.rand(batch, setting.vocab_size - half, generator=generator).topk(pairs).indices
        query = context + 2 * torch.multinomial(gaps.expand(batch, -1), pairs, generator=generator)
        tokens = torch.zeros(batch, length, dtype=torch.int64)
        tokens[:, 0:context:2] = keys
        tokens[:, 1:context:2] = values
        tokens.scatter_(1, query, keys)
        labels = torch.full_like(tokens, -100).scatter_(1, query, values)
        batches.append((tokens, labels, (labels.flatten() != -100).nonzero().flatten()))
    return batches


def loss_everywhere(model, tokens, labels, rows):
    del rows
    return functional.cross_entropy(model(tokens).flatten(0, 1), labels.flatten(), ignore_index=-100)


def loss_on_rows(model, tokens, labels, rows):
    return functional.cross_entropy(model(tokens, rows), labels.flatten()[rows])


class PyTorchStep:
    """One form of the step, ready to be timed again and again."""

    def __init__(self, form, setting, batches):
        torch.manual_seed(0)
        self.setting = setting
        self.batches = batches
        self.model = Model(setting).train()
        loss = loss_everywhere if form == "zoology" else loss_on_rows
        self.loss = torch.compile(loss, dynamic=False) if form == "compiled" else loss
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=setting.learning_rate, weight_decay=setting.weight_decay
        )
        self.steps = 0
        for _ in range(2):
            self.step()

    def step(self):
        tokens, labels, rows = self.batches[self.steps % len(self.batches)]
        self.steps += 1
        self.optimizer.zero_grad()
        loss = self.loss(self.model, tokens, labels, rows)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def sequences_per_second(self, seconds):
        """Runs whole steps for about so many seconds, at least two."""
        begin = time.perf_counter()
        steps = 0
        while steps < 2 or time.perf_counter() - begin < seconds:
            self.step()
            steps += 1
        return steps * self.setting.batch_size / (time.perf_counter() - begin)


class ZooStep:
    """`zoo bench step` with the same setting."""

    def __init__(self, command, setting, threads, steps):
        options = {
            "layer": "attention",
            "d-model": setting.d_model,
            "seq-len": setting.seq_len,
            "kv-pairs": setting.kv_pairs,
            "vocab-size": setting.vocab_size,
            "batch-size": setting.batch_size,
            "blocks": setting.blocks,
            "backbone": "recall",
            "feed-forward": "none",
            "lr": setting.learning_rate,
            "steps": steps,
            "threads": threads,
        }
        self.command = [command, "bench", "step", "--json"]
        self.command += [f"--{name}={value}" for name, value in options.items()]
        for option in ("positions=learned", "bias=true", f"dropout={setting.dropout}"):
            self.command += ["--option", option]
        self.shares = []

    def sequences_per_second(self, seconds):
        del seconds  # its own number of steps decides
        result = subprocess.run(self.command, stdout=subprocess.PIPE, check=True, text=True)
        report = json.loads(result.stdout)
        self.shares.append(report["sgemm_share"])
        return report["sequences_per_second"]


def spread(values):
    return f"{min(values):9.1f} {statistics.median(values):9.1f} {max(values):9.1f}"


def compare(setting, arguments):
    batches = make_batches(setting, 8)
    peers = {form: PyTorchStep(form, setting, batches) for form in setting.forms}
    contenders = dict(peers)
    if arguments.zoo:
        contenders["zoo"] = ZooStep(arguments.zoo, setting, arguments.threads, arguments.zoo_steps)
    speeds = {name: [] for name in contenders}
    for number in range(arguments.rounds):
        for name, contender in contenders.items():
            speeds[name].append(contender.sequences_per_second(arguments.seconds))
            print(f"round {number + 1}: {name} {speeds[name][-1]:.1f} sequences/s", file=sys.stderr, flush=True)

    print(
        f"\n{setting.blocks} blocks of attention, d_model {setting.d_model}, T {setting.seq_len}, "
        f"kv {setting.kv_pairs}, vocabulary {setting.vocab_size}, batch {setting.batch_size}, "
        f"{arguments.threads} threads, {arguments.rounds} rounds"
    )
    print(f"{'sequences/s':24} {'min':>9} {'median':>9} {'max':>9}")
    for name, values in speeds.items():
        print(f"{name:24} {spread(values)}")
    if "zoo" not in contenders:
        return
    for form in setting.forms:
        ratios = [ours / theirs for ours, theirs in zip(speeds["zoo"], speeds[form])]
        print(f"{'zoo / ' + form:24} {spread(ratios)}")
    print(f"zoo's share of the large-sgemm rate: {statistics.median(contenders['zoo'].shares):.2f} (median)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", help="the zoo command to compare with; without it PyTorch is timed alone")
    parser.add_argument("--settings", default="short,long", help="of: " + ", ".join(SETTINGS))
    parser.add_argument("--rounds", type=int, default=5, help="rounds in turn (5)")
    parser.add_argument("--seconds", type=float, default=5, help="of each PyTorch form in a round (5)")
    parser.add_argument("--zoo-steps", type=int, default=20, help="steps of zoo in a round (20)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both (2)")
    arguments = parser.parse_args()
    for name in arguments.settings.split(","):
        if name not in SETTINGS:
            sys.exit(f"unknown setting '{name}'; known are {', '.join(SETTINGS)}")

    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    print(f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} processors")
    for name in arguments.settings.split(","):
        compare(SETTINGS[name], arguments)


if __name__ == "__main__":
    main()
