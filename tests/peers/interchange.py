"""Language models exchanged with transformers and with the release of TTT, in their own files.

Small models of many sizes and options are drawn at random and saved with save_pretrained. `zoo lm logits` must give
their logits within 1e-4, in one chunk and in several; what `zoo lm export` writes of them must hold the same tensors
and, loaded with from_pretrained, give the same logits. Prints the largest differences, and exits with 1 where one is
larger.

    tests/peers/interchange.sh [--family NAME] [--seed N]       compare
    tests/peers/interchange.sh --golden                         make tests/golden/lm again
"""

import argparse
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4
ROOT = pathlib.Path(__file__).resolve().parents[2]


def release():
    """The module ttt.py of TTT's release, in $ZOO_PEERS_SOURCES, written for an earlier transformers."""
    if "ttt_lm_pytorch" not in sys.modules:
        import transformers.utils.import_utils as import_utils

        # Without the convolution kernels for GPUs, the release takes torch's.
        import_utils.is_causal_conv1d_available = lambda: False
        path = pathlib.Path(os.environ["ZOO_PEERS_SOURCES"]) / "ttt-lm-pytorch" / "ttt.py"
        spec = importlib.util.spec_from_file_location("ttt_lm_pytorch", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["ttt_lm_pytorch"] = module
        spec.loader.exec_module(module)
        # Newer versions want to know which weight a tied head is.
        module.TTTForCausalLM._tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}
    return sys.modules["ttt_lm_pytorch"]


def classes(family):
    """The configuration's and the model's class."""
    if family == "ttt":
        return release().TTTConfig, release().TTTForCausalLM
    name = {"llama": "Llama", "mamba": "Mamba", "mamba2": "Mamba2", "rwkv": "Rwkv"}[family]
    return getattr(transformers, name + "Config"), getattr(transformers, name + "ForCausalLM")


def llama(**settings):
    return dict(
        vocab_size=61,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
    ) | settings


def mamba(**settings):
    return dict(vocab_size=61, hidden_size=24, state_size=8, num_hidden_layers=2) | settings


def mamba2(**settings):
    return dict(
        vocab_size=61, hidden_size=24, state_size=16, num_heads=6, head_dim=8, n_groups=1, num_hidden_layers=2, chunk_size=8
    ) | settings


def rwkv(**settings):
    return dict(vocab_size=61, hidden_size=24, num_hidden_layers=2, rescale_every=0) | settings


def ttt(**settings):
    return dict(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, mini_batch_size=16
    ) | settings


# (family, case, settings of the configuration, how it is saved). "golden" marks those that are kept.
CASES = [
    ("llama", "plain", llama(), {}),
    ("llama", "grouped", llama(num_key_value_heads=2, rope_theta=500.0, rms_norm_eps=1e-3), {"golden": True}),
    ("llama", "one_kv_head", llama(num_key_value_heads=1, num_hidden_layers=3, hidden_size=48), {}),
    ("llama", "tied", llama(tie_word_embeddings=True, vocab_size=97), {"golden": True}),
    ("llama", "biases", llama(attention_bias=True, mlp_bias=True), {}),
    ("llama", "wide_heads", llama(head_dim=16, num_key_value_heads=2), {}),
    ("llama", "long", llama(), {"length": 300}),
    ("llama", "sharded", llama(num_hidden_layers=3), {"shard": "20KB"}),
    ("llama", "bfloat16", llama(), {"dtype": torch.bfloat16}),
    ("llama", "float16", llama(tie_word_embeddings=True), {"dtype": torch.float16}),
    ("mamba", "plain", mamba(), {"golden": True}),
    ("mamba", "untied", mamba(tie_word_embeddings=False, layer_norm_epsilon=1e-3), {}),
    ("mamba", "options", mamba(expand=3, conv_kernel=3, time_step_rank=5, state_size=5), {}),
    ("mamba", "biases", mamba(use_bias=True, use_conv_bias=False), {"golden": True}),
    ("mamba", "long", mamba(num_hidden_layers=4, hidden_size=40), {"length": 300}),
    ("mamba", "bfloat16", mamba(), {"dtype": torch.bfloat16}),
    ("mamba2", "plain", mamba2(), {"golden": True}),
    ("mamba2", "groups", mamba2(n_groups=3, tie_word_embeddings=True, layer_norm_epsilon=1e-3), {}),
    ("mamba2", "options", mamba2(expand=3, num_heads=9, conv_kernel=3, chunk_size=16, state_size=5, n_groups=3), {}),
    ("mamba2", "biases", mamba2(use_bias=True, use_conv_bias=False), {}),
    ("mamba2", "limits", mamba2(time_step_limit=(0.02, 0.1)), {"golden": True}),
    ("mamba2", "long", mamba2(hidden_size=64, num_heads=8, head_dim=16), {"length": 300}),
    ("rwkv", "plain", rwkv(), {"golden": True}),
    ("rwkv", "rescaled", rwkv(num_hidden_layers=5, rescale_every=2), {}),
    ("rwkv", "rescaled_every", rwkv(hidden_size=12, num_hidden_layers=5, rescale_every=1), {"golden": True}),
    ("rwkv", "options", rwkv(attention_hidden_size=40, intermediate_size=50, layer_norm_epsilon=1e-3), {}),
    ("rwkv", "tied", rwkv(tie_word_embeddings=True, num_hidden_layers=3), {}),
    ("rwkv", "long", rwkv(hidden_size=48, num_hidden_layers=4), {"length": 300}),
    ("ttt", "linear", ttt(), {"golden": True}),
    ("ttt", "linear_mamba", ttt(pre_conv=True, share_qk=True, use_gate=True, conv_kernel=4), {"golden": True}),
    ("ttt", "mlp", ttt(ttt_layer_type="mlp", ttt_base_lr=0.1), {"golden": True}),
    ("ttt", "mlp_mamba", ttt(ttt_layer_type="mlp", ttt_base_lr=0.1, pre_conv=True, share_qk=True, use_gate=True), {}),
    ("ttt", "share_alone", ttt(share_qk=True, conv_kernel=3), {}),
    ("ttt", "conv_alone", ttt(pre_conv=True, conv_kernel=3, rms_norm_eps=1e-3), {}),
    ("ttt", "gate_untied", ttt(use_gate=True, tie_word_embeddings=False, rope_theta=300.0, mini_batch_size=5), {}),
]


def randomise(model, seed):
    """Every parameter away from its start: matrices of projections and heads N(0, 1/sqrt(inputs)), an embedding
    alone N(0, 1), all others moved by N(0, 0.2)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "embed" in name and not model.config.tie_word_embeddings:
                parameter.copy_(noise)
            elif name.endswith(".weight") and parameter.dim() == 2:
                parameter.copy_(noise * parameter.shape[1] ** -0.5)
            else:
                parameter.add_(noise * 0.2)


def logits_of(model, tokens):
    with torch.no_grad():
        return model.float().eval()(input_ids=tokens, use_cache=False).logits


def make(family, settings, seed, dtype):
    config_class, model_class = classes(family)
    config = config_class(**settings)
    if family == "ttt":
        config.rope_theta = settings.get("rope_theta", 10000.0)
    model = model_class(config)
    randomise(model, seed)
    return model.to(dtype).eval()


def load(family, folder):
    config_class, model_class = classes(family)
    if family != "ttt":
        return model_class.from_pretrained(folder, dtype=torch.float32)
    # from_pretrained of transformers 5 makes modules without memory and does not fill the release's buffers afterwards.
    config = config_class.from_pretrained(folder)
    config.rope_theta = json.loads((folder / "config.json").read_text())["rope_theta"]
    model = model_class(config)
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    assert not unexpected and set(missing) <= ({"lm_head.weight"} if config.tie_word_embeddings else set()), missing
    model.tie_weights()
    return model


def zoo(*arguments):
    result = subprocess.run([zoo.command, *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"zoo {' '.join(map(str, arguments))}: exit code {result.returncode}\n{result.stderr}")


def chunks_of(length):
    """Lengths of chunks: 5, 1, 7, and the rest."""
    return [5, 1, 7, length - 13] if length > 13 else [1, length - 1]


def same_tensors(one, other):
    """Whether two checkpoints hold the same tensors, but for a tied head's copy."""

    def tensors(folder):
        loaded = {}
        for path in folder.glob("*.safetensors"):
            loaded |= load_file(path)
        return {name: tensor.float() for name, tensor in loaded.items()}

    a, b = tensors(one), tensors(other)
    return all(torch.equal(a[name], b[name]) for name in a.keys() & b.keys()) and all(
        name.endswith("head.weight") for name in a.keys() ^ b.keys()
    )


def compare(folder, family, settings, how, seed):
    """The largest differences of the logits, whole, in chunks, and exported; and whether the tensors were the same."""
    public, exported = folder / "public", folder / "exported"
    model = make(family, settings, seed, how.get("dtype", torch.float32))
    model.save_pretrained(public, **({"max_shard_size": how["shard"]} if "shard" in how else {}))
    length = how.get("length", 43)
    tokens = torch.randint(0, settings["vocab_size"], (2, length), generator=torch.Generator().manual_seed(seed + 1))
    expected = logits_of(load(family, public), tokens)
    save_file({"tokens": tokens}, folder / "tokens.safetensors")

    def difference(checkpoint, *more):
        zoo("lm", "logits", "--checkpoint", checkpoint, "--input", folder / "tokens.safetensors", "--output",
            folder / "logits.safetensors", *more)
        return (load_file(folder / "logits.safetensors")["logits"] - expected).abs().max().item()

    whole = difference(public)
    chunked = difference(public, "--chunks", ",".join(map(str, chunks_of(length))))
    zoo("lm", "export", "--from", public, "--out", exported)
    assert difference(exported) == whole, "the exported model gives other logits to zoo itself"
    back = (logits_of(load(family, exported), tokens) - expected).abs().max().item()
    return expected.abs().max().item(), whole, chunked, back, same_tensors(public, exported)


def compare_all(cases, seed):
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, seed {seed}; largest differences of logits")
    print(f"{'case':24} {'largest':>9} {'whole':>9} {'in chunks':>9} {'exported':>9}  tensors")
    failed = 0
    for family, name, settings, how in cases:
        with tempfile.TemporaryDirectory() as folder:
            largest, whole, chunked, back, same = compare(pathlib.Path(folder), family, settings, how, seed)
        good = max(whole, chunked, back) <= TOLERANCE and same
        failed += not good
        print(
            f"{family + ' ' + name:24} {largest:9.3f} {whole:9.1e} {chunked:9.1e} {back:9.1e}  "
            f"{'equal' if same else 'DIFFERENT'}{'' if good else '  FAILED'}",
            flush=True,
        )
    print(f"{len(cases) - failed} of {len(cases)} within {TOLERANCE}")
    return 1 if failed else 0


def make_golden(cases):
    """tests/golden/lm/FAMILY_CASE: the checkpoint, and tokens with their logits in answer.safetensors."""
    for family, name, settings, how in cases:
        folder = ROOT / "tests" / "golden" / "lm" / f"{family}_{name}"
        shutil.rmtree(folder, ignore_errors=True)
        model = make(family, settings | {"vocab_size": 31}, 0, torch.float32)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        tokens = torch.randint(0, 31, (2, 37), generator=torch.Generator().manual_seed(1))
        answer = {"tokens": tokens.int(), "logits": logits_of(load(family, folder), tokens).contiguous()}
        what = f"{type(model).__name__} with torch {torch.__version__}, transformers {transformers.__version__}"
        save_file(answer, folder / "answer.safetensors", {"reference": what})
        print(f"{folder.relative_to(ROOT)}: {sum(path.stat().st_size for path in folder.iterdir()) / 1e3:.0f} kB")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=["llama", "mamba", "mamba2", "rwkv", "ttt"])
    parser.add_argument("--zoo", default=ROOT / "build" / "release" / "zoo", help="the command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--golden", action="store_true")
    arguments = parser.parse_args()
    zoo.command = arguments.zoo
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    cases = [case for case in CASES if arguments.family in (None, case[0])]
    if arguments.golden:
        return make_golden([case for case in cases if case[3].get("golden")])
    return compare_all(cases, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
