"""The Python module against the command: the same examples, the same layers, the same records.

Run by ctest with ZOO_COMMAND set and the built package on PYTHONPATH.
"""

import json
import os
import struct
import subprocess
import tempfile
import unittest

import numpy as np
import zoo

COMMAND = os.environ["ZOO_COMMAND"]


def read_safetensors(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    types = {"I32": np.int32, "I64": np.int64, "F32": np.float32}
    return {
        name: np.frombuffer(data[slice(*info["data_offsets"])], types[info["dtype"]]).reshape(info["shape"])
        for name, info in header.items()
        if name != "__metadata__"
    }


def run(*arguments):
    subprocess.run([COMMAND, *arguments], check=True, capture_output=True)


class Tasks(unittest.TestCase):
    def test_examples_are_those_of_the_command(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "examples.safetensors")
            run("tasks", "mqar", "--export", path, "--split", "validation", "--seed", "3", "--count", "20",
                "--option", "vocab_size=128", "--option", "kv_pairs=8")
            exported = read_safetensors(path)
        task = zoo.task("mqar", vocab_size=128, kv_pairs=8)
        made = task.examples("validation", seed=3, count=20)
        for name in ("tokens", "labels"):
            np.testing.assert_array_equal(made[name], exported[name])
        self.assertEqual(task.slices, {"seq_len": 64, "kv_pairs": 8})
        self.assertEqual(task.head, "language_model")

    def test_any_example_alone_is_the_same(self):
        for name in sorted(zoo.tasks()):
            try:
                task = zoo.task(name)
            except ValueError:
                continue  # one that needs files
            if task.seq_len > 4096:
                continue
            together = task.examples("train", count=6)
            for index in (5, 0, 3):
                alone = task.examples("train", indices=[index])
                self.assertEqual(set(alone), set(together), name)
                for key, values in alone.items():
                    np.testing.assert_array_equal(values[0], together[key][index], f"{name} {key}")

    def test_kinds_of_inputs_and_heads(self):
        adding = zoo.task("adding", seq_len=32)
        batch = adding.examples("test", count=4)
        self.assertEqual(batch["reals"].shape, (4, 32, 2))
        self.assertNotIn("tokens", batch)
        labelled = batch["labels"] != zoo.UNLABELLED
        sums = (batch["reals"][..., 0] * batch["reals"][..., 1]).sum(axis=1)
        np.testing.assert_allclose(batch["targets"][labelled], sums, rtol=1e-6)
        reads = zoo.task("flip_flop", seq_len=64)
        batch = reads.examples(count=4)
        self.assertTrue((batch["groups"] < len(reads.groups)).all())

    def test_wrong_settings_are_told(self):
        for wrong, message in [
            (lambda: zoo.task("mqr"), "did you mean 'mqar'"),
            (lambda: zoo.task("mqar", kv_pairs=100), "too short"),
            (lambda: zoo.task("mqar").examples("tset", count=1), "did you mean 'test'"),
            (lambda: zoo.task("mqar").examples("test"), "count or indices"),
            (lambda: zoo.task("mqar").examples("test", indices=[-1]), "negative"),
            (lambda: zoo.layer("mamba", 16, stat=3), "stat"),
            (lambda: zoo.layer("mamba", 16).forward(np.zeros((1, 4, 8))), r"\[batch, time, 16\]"),
            (lambda: zoo.layer("mamba", 16).forward(np.zeros((1, 4, 16)), chunks=[3]), "together"),
            (lambda: zoo.layer("mamba", 16).set_parameter("D", np.zeros(3)), "shape"),
            (lambda: zoo.runs("/nowhere.db"), "there is no run store"),
        ]:
            with self.assertRaisesRegex(ValueError, message):
                wrong()


class Layers(unittest.TestCase):
    def test_chunks_and_gradients(self):
        random = np.random.default_rng(0)
        for name in ("attention", "mamba", "ttt_linear"):
            layer = zoo.layer(name, 8, dtype="float64", seed=1)
            x, dy, direction = (random.standard_normal((2, 19, 8)) for _ in range(3))
            y = layer.forward(x)
            np.testing.assert_allclose(layer.forward(x, chunks=[5, 1, 13]), y, atol=1e-12)
            again, dx, gradients = layer.gradients(x, dy)
            np.testing.assert_array_equal(again, y)
            self.assertEqual(set(gradients), set(layer.parameters))
            # Central differences: truncation is of the order of step^2 and of the third derivative, which is large
            # where small first weights stand behind a norm; rounding of some hundred terms is about 1e-15 / step.
            step = 1e-7
            slope = ((layer.forward(x + step * direction) - layer.forward(x - step * direction)) * dy).sum() / (2 * step)
            self.assertAlmostEqual(slope, (dx * direction).sum(), delta=1e-6 * max(1, abs(slope)))

    def test_parameters_are_set(self):
        layer = zoo.layer("attention", 8)
        layer.set_parameter("o_proj.weight", np.zeros((8, 8)))
        self.assertFalse(layer.forward(np.ones((1, 3, 8))).any())


class Runs(unittest.TestCase):
    def test_records_are_those_of_the_store(self):
        with tempfile.TemporaryDirectory() as folder:
            store = os.path.join(folder, "runs.db")
            run("train", "--task", "mqar", "--task-option", "vocab_size=128", "--layer", "attention", "--d-model", "16",
                "--train-examples", "64", "--test-examples", "8", "--epochs", "2", "--store", store, "--out", folder)
            (record,) = zoo.runs(store)
            with open(os.path.join(folder, "results.json")) as file:
                self.assertEqual(record, json.load(file)["runs"][0])
        self.assertEqual(record["status"], "done")
        self.assertEqual(len(record["epochs"]), 2)
        self.assertIn("class_accuracy", record["slices"][0]["metrics"])


if __name__ == "__main__":
    unittest.main()
