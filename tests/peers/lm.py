"""Language models in PyTorch and in llm.c, timed in turn with `zoo bench lm`.

Training: 12 blocks, d_model 768, 12 heads, vocabulary 50,257, tied head, sequences of 1,024, batches of 4, AdamW: the
forward and backward pass and the update, in transformers' Llama of that size, in llm.c's CPU trainer (GPT-2, where a
checkout is given), and in zoo with attention and SwiGLU of the same width.

Generation, one sequence, greedily, float32: transformers' GPT-2 (124M) beside zoo's attention of that size, and
transformers' Mamba (130M) beside zoo's.

Each round times every program once, one after the other, so that all of them meet the same machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

from llmc import LlmC

VOCAB = 50257
CONTEXT = 1024
BATCH = 4

TRAIN = ["--preset", "125m", "--context", str(CONTEXT), "--batch-tokens", str(BATCH * CONTEXT), "--micro-batch", str(BATCH)]
MAMBA = ["--layer", "mamba", "--backbone", "mamba", "--feed-forward", "none", "--blocks", "24"]


def zoo(binary, threads, arguments):
    command = [binary, "--threads", str(threads), "bench", "lm", "--json", "--vocab-size", str(VOCAB), *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def torch_training(steps):
    """Tokens a second of transformers' Llama of the same size."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
        max_position_embeddings=CONTEXT, tie_word_embeddings=True, use_cache=False)
    model = LlamaForCausalLM(config)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    seconds = []
    for _ in range(steps + 1):
        tokens = torch.randint(0, VOCAB, (BATCH, CONTEXT))
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        model(input_ids=tokens, labels=tokens).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - begin)
    return BATCH * CONTEXT / statistics.median(seconds[1:])


def torch_generation(kind, tokens):
    """Tokens a second of transformers' generation."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM

    if kind == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB))
    else:
        model = MambaForCausalLM(MambaConfig(vocab_size=VOCAB, hidden_size=768, num_hidden_layers=24))
    model.eval()
    prompt = torch.randint(0, VOCAB, (1, 16))
    with torch.no_grad():
        def run(count):
            begin = time.perf_counter()
            model.generate(prompt, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)
            return time.perf_counter() - begin

        run(4)
        # What the prompt takes is in both.
        short = run(8)
        return tokens / (run(8 + tokens) - short)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", required=True, help="the command")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=2, help="training steps timed in a round")
    parser.add_argument("--tokens", type=int, default=48, help="tokens generated in a round")
    parser.add_argument("--llmc", help="a checkout of llm.c, https://github.com/karpathy/llm.c")
    parser.add_argument("--only", choices=["training", "generation", "llm.c"],
                        help="llm.c alone takes 20 GB of memory")
    options = parser.parse_args()

    import torch
    torch.set_num_threads(options.threads)

    llmc = LlmC(options.llmc, BATCH, CONTEXT) if options.llmc else None
    ratios = {}
    def note(name, ours, theirs, extra=""):
        ratios.setdefault(name, []).append(ours / theirs)
        print(f"{name:<28} zoo {ours:9.1f}   peer {theirs:9.1f}   ratio {ours / theirs:6.2f}{extra}", flush=True)

    for _ in range(options.rounds):
        if options.only in (None, "training", "llm.c"):
            ours = zoo(options.zoo, options.threads, [*TRAIN, "--generate", "0", "--timed-steps", str(options.steps)])
            share = f"   sgemm share {ours['sgemm_share']:.2f}"
            if options.only != "llm.c":
                note("training, Llama", ours["tokens_per_second"], torch_training(options.steps), share)
            if llmc:
                note("training, llm.c", ours["tokens_per_second"],
                     llmc.tokens_per_second(options.threads, options.steps))
        if options.only in (None, "generation"):
            for name, kind, arguments in (("generation, GPT-2", "gpt2", []), ("generation, Mamba", "mamba", MAMBA)):
                ours = zoo(options.zoo, options.threads,
                           ["--preset", "125m", *arguments, "--timed-steps", "0", "--generate", str(options.tokens)])
                share = f"   share of read bandwidth {ours['read_share']:.2f}"
                note(name, ours["generated_tokens_per_second"], torch_generation(kind, options.tokens), share)
    print()
    for name, values in ratios.items():
        print(f"{name:<28} min {min(values):.2f}   median {statistics.median(values):.2f}   max {max(values):.2f}")


if __name__ == "__main__":
    main()
