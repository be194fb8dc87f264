"""A process that can import neither torch nor Transformers, and open no socket: it locates, selects and trains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xpert import Catalog, Explainer, Selector, TorchTrainer, load_examples
from xpert.subvectors.unembedded import UnembeddedSubvectors
from xpert.zoo.corpus._facts import Side
from xpert.zoo.corpus.dataset import examples as corpus
from xpert.zoo.corpus.styles import DEFAULT, STYLES, Style

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
pytest.importorskip("onnx", reason="needs the extra 'onnx'")

NAMES = ("elementary-concise-friendly", "expert-concise-sarcastic", "expert-informative-neutral")
WORDS = ("friendly", "formal", "sarcastic", "concise", "elementary", "expert", "informative", "neutral")
MINE = "expert-concise-sarcastic"

NO_TORCH = """
import json, socket, sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "peft", "sentence_transformers", "accelerate", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}: blocked", name=name)

sys.meta_path.insert(0, Blocked())
"""

BLOCKED = """
def no_socket(*_, **__):
    raise AssertionError("a socket was opened")

socket.socket.connect = socket.socket.connect_ex = socket.socket.bind = no_socket
socket.create_connection = socket.getaddrinfo = no_socket
catalog, summarizer, artifacts, data, out = sys.argv[1:]

import xpert
examples = xpert.load_examples(data)
selector = xpert.Selector(xpert.Catalog.from_pretrained(catalog), summarizer=f"onnx:{summarizer}")
selection = selector.select(examples)
report = xpert.OnnxTrainer(max_steps=6, lr=1e-2, batch_size=4, threads=1).fit(artifacts, examples, out=out)
print(json.dumps({
    "found": [name for name in ("torch", "transformers", "peft", "onnx") if name in sys.modules],
    "best": selection.best, "ranking": selection.ranking, "words": selection.words,
    "coordinates": selection.coordinates.values.tolist(), "losses": report.losses,
}))
"""

COMMAND = """
from xpert.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(code: str, *arguments: object, code_of_exit: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", NO_TORCH + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code_of_exit, done.stderr
    return done


def written(file: Path, style: Style, n: int, seed: int, side: Side) -> Path:
    rows = corpus(style, side=side, n=n, seed=seed)
    lines = [json.dumps({"prompt": one.prompt, "response": one.response}) for one in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What a device is given: a catalog, an exported summarizer, training artifacts; and what it has: its user's texts."""
    from xpert.summarizers.onnx.export import export_summarizer
    from xpert.trainers.export import OnnxExporter

    root = tmp_path_factory.mktemp("device")
    styles = {"base": DEFAULT, **{name: STYLES[name] for name in NAMES}}
    answers = {
        name: f"answers:{written(root / f'{name}.jsonl', style, 12, 0, 'models')}" for name, style in styles.items()
    }
    explainer = Explainer(
        base=answers.pop("base"),
        summarizer="zoo:summarizer",
        n_prompts=10,
        subvectors=UnembeddedSubvectors(words=WORDS),
    )
    explainer.explain(answers).save_pretrained(root / "catalog")
    return {
        "catalog": root / "catalog",
        "summarizer": export_summarizer("zoo:summarizer", root / "summarizer"),
        "artifacts": OnnxExporter(rank=4, alpha=8, max_length=128).export("zoo:base", root / "artifacts"),
        "data": written(root / "me.jsonl", STYLES[MINE], 10, 5, "users"),
    }


def test_it_locates_selects_and_trains_as_with_torch(device: dict[str, Path], tmp_path: Path) -> None:
    told = json.loads(run(BLOCKED, *device.values(), tmp_path / "out").stdout.splitlines()[-1])
    assert told["found"] == []
    examples = load_examples(device["data"])
    expected = Selector(Catalog.from_pretrained(device["catalog"])).select(examples)
    assert told["best"] == expected.best == MINE
    assert [name for name, _ in told["ranking"]] == [name for name, _ in expected.ranking]
    np.testing.assert_allclose([d for _, d in told["ranking"]], [d for _, d in expected.ranking], atol=1e-4)
    np.testing.assert_allclose(told["coordinates"], expected.coordinates.values, atol=1e-4)
    values = dict(told["words"])  # the order of words whose values are nearly equal may differ by rounding
    assert values.keys() == dict(expected.words).keys()
    assert told["words"][0][0] == expected.words[0][0]
    np.testing.assert_allclose([values[word] for word, _ in expected.words], [v for _, v in expected.words], atol=1e-4)
    settings = {"max_steps": 6, "lr": 1e-2, "batch_size": 4, "rank": 4, "alpha": 8, "max_length": 128}
    report = TorchTrainer(**settings).fit("zoo:base", examples, out=tmp_path / "torch")
    np.testing.assert_allclose([y for _, y in told["losses"]], [y for _, y in report.losses], atol=1e-5)


def test_the_commands_need_no_torch(device: dict[str, Path], tmp_path: Path) -> None:
    chosen = run(
        COMMAND, "select", "--catalog", device["catalog"], "--data", device["data"],
        "--summarizer", f"onnx:{device['summarizer']}", "--json",
    )  # fmt: skip
    assert json.loads(chosen.stdout)["best"] == MINE
    trained = run(
        COMMAND, "train", "--start", device["artifacts"], "--data", device["data"], "--out", tmp_path / "out",
        "--max-steps", 2, "--json",
    )  # fmt: skip
    assert json.loads(trained.stdout)["steps"] == 2
    refused = run(
        COMMAND, "train", "--backend", "onnx", "--start", "zoo:base", "--data", device["data"], "--out", tmp_path / "no",
        code_of_exit=2,
    )  # fmt: skip
    assert "xpert export --start zoo:base" in refused.stderr
