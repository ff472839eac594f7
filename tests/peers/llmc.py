"""llm.c's CPU trainer, built from a checkout and timed on weights and tokens drawn at random.

Its `train_gpt2.c` reads weights, tokens, and names the batch (4 sequences of 64 tokens) in its own text: here a copy with
the batch asked for is compiled, as its Makefile does with GCC, and given files of its formats.
"""

import os
import re
import statistics
import subprocess
import tempfile

import numpy

VOCAB, PADDED_VOCAB, POSITIONS, BLOCKS, HEADS, WIDTH = 50257, 50304, 1024, 12, 12, 768


def write_file(path, header, values):
    """A header of 256 integers, then the values."""
    padded = numpy.zeros(256, numpy.int32)
    padded[:len(header)] = header
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(padded.tobytes())
        file.write(values.tobytes())


def replace_once(text, old, new):
    if text.count(old) != 1:
        raise SystemExit(f"train_gpt2.c has {text.count(old)} times {old!r}; another version of llm.c?")
    return text.replace(old, new)


class LlmC:
    def __init__(self, checkout, batch, context):
        """Builds what `tokens_per_second` runs. `checkout` is llm.c's folder, `batch` sequences of `context` tokens."""
        self.tokens = batch * context
        self.folder = tempfile.TemporaryDirectory()
        random = numpy.random.default_rng(0)
        a_block = 12 * WIDTH * WIDTH + 13 * WIDTH  # weights and biases of its norms and its four products
        parameters = (PADDED_VOCAB + POSITIONS) * WIDTH + BLOCKS * a_block + 2 * WIDTH
        write_file(self.path("gpt2_124M.bin"), [20240326, 3, POSITIONS, VOCAB, BLOCKS, HEADS, WIDTH, PADDED_VOCAB],
                   random.normal(0, 0.02, parameters).astype(numpy.float32))
        count = 8 * self.tokens + 1
        for split in ("train", "val"):
            write_file(self.path(f"dev/data/tinyshakespeare/tiny_shakespeare_{split}.bin"), [20240520, 1, count],
                       random.integers(0, VOCAB, count).astype(numpy.uint16))
        with open(os.path.join(checkout, "train_gpt2.c"), encoding="utf-8") as file:
            source = file.read()
        source = replace_once(source, "int B = 4;", f"int B = {batch};")
        source = replace_once(source, "int T = 64;", f"int T = {context};")
        source = replace_once(source, "int val_num_batches = 5;", "int val_num_batches = 1;")
        with open(self.path("train_gpt2.c"), "w", encoding="utf-8") as file:
            file.write(source)
        subprocess.run(["gcc", "-Ofast", "-march=native", "-fopenmp", "-DOMP", "-w", "-I", checkout, "train_gpt2.c",
                        "-o", "train_gpt2", "-lm"], cwd=self.folder.name, check=True)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def tokens_per_second(self, threads, steps):
        """The median over `steps` steps; one before them is not counted."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        # Its output is to come line by line.
        process = subprocess.Popen(["stdbuf", "-oL", "./train_gpt2"], cwd=self.folder.name, env=environment,
                                   stdout=subprocess.PIPE, text=True)
        times = []
        for line in process.stdout:
            found = re.search(r"step \d+: train loss .* \(took ([\d.]+) ms\)", line)
            if found:
                times.append(float(found.group(1)) / 1e3)
            if len(times) == steps + 1:
                break
        process.kill()
        process.wait()
        if len(times) < 2:
            raise SystemExit(f"llm.c ended after {len(times)} steps with {process.returncode}; at 4 sequences of 1,024 "
                             "tokens it takes 20 GB of memory")
        return self.tokens / statistics.median(times[1:])
