#!/usr/bin/env python3
"""Draws tasks/pathfinder.png, the pictures that tasks/pathfinder.md shows: for each size a row of test examples of the
hard level, label 1 to the left and 0 to the right.

    python3 runners/results/pathfinder_samples.py [ZOO [PNG]]

Needs Python's Pillow (Debian: python3-pil). ZOO is the command, by default build/release/zoo.
"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile

from PIL import Image

HEIGHT = 256  # of a row, pixels
GAP = 8
EACH = 2  # examples of each label in a row
WHITE = 255


def read_safetensors(path):
    """The tensors of a file that `zoo tasks --export` wrote, as flat tuples of integers by name."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, info in json.loads(data[8 : 8 + length]).items():
        if info.get("dtype") == "I32":
            begin, end = (8 + length + offset for offset in info["data_offsets"])
            tensors[name] = struct.unpack(f"<{(end - begin) // 4}i", data[begin:end])
    return tensors


def examples(zoo, size, folder):
    """The first EACH pictures of label 1, then of label 0."""
    path = folder / f"{size}.safetensors"
    subprocess.run([zoo, "tasks", "pathfinder", "--export", path, "--split", "test", "--count", "64",
                    "--option", f"size={size}"], check=True, stdout=subprocess.DEVNULL)
    tensors = read_safetensors(path)
    pixels = size * size
    found = {1: [], 0: []}
    for begin in range(0, len(tensors["tokens"]), pixels):
        image = Image.new("L", (size, size))
        image.putdata(tensors["tokens"][begin : begin + pixels])
        found[tensors["labels"][begin + pixels - 1]].append(image)
    return found[1][:EACH] + found[0][:EACH]


def main():
    zoo = sys.argv[1] if len(sys.argv) > 1 else "build/release/zoo"
    target = sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).parents[2] / "tasks/pathfinder.png"
    with tempfile.TemporaryDirectory() as folder:
        rows = [examples(zoo, size, pathlib.Path(folder)) for size in (32, 64, 128)]
    step = HEIGHT + GAP
    sheet = Image.new("L", (2 * EACH * step + GAP, len(rows) * step + GAP), WHITE)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            # Each pixel becomes a square, so that what the model reads is what is seen.
            sheet.paste(image.resize((HEIGHT, HEIGHT), Image.NEAREST), (GAP + x * step, GAP + y * step))
    sheet.quantize(16).save(target, optimize=True)


if __name__ == "__main__":
    main()
