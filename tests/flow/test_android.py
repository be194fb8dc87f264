"""The Android example: what needs no SDK is compiled against hand-written signatures, and its pure Java runs beside Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from xpert.rendering import render, token_ids
from xpert.trainers.data import batch_of, encode
from xpert.trainers.order import permutation, split, training_order
from xpert.trainers.settings import learning_rate
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example

ROOT = Path(__file__).parents[2]
APP = ROOT / "examples/android"
JAVA = APP / "app/src/main/java/org/xpert"
TEXTS = [
    "The quick brown fox.",
    "  it's   42 degrees,\n\n\ttoday?! ",
    "naïve – 漢字 🙂 e\u0301",
    "I'LL say: don't.\u00a0x\u2009y\u0085z  \r\n",
    "<|user|>why<|end|>",
    "a" * 40 + "1234567",
]

javac = pytest.mark.skipif(shutil.which("javac") is None or shutil.which("java") is None, reason="no JDK (javac, java)")


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's pure Java, the signatures it is compiled against, and what runs it."""
    out = tmp_path_factory.mktemp("classes")
    files = [*(JAVA / "train").glob("*.java"), *(ROOT / "tests/java").rglob("*.java")]
    command = ["javac", "-Xlint:all,-serial", "-Werror", "--release", "11", "-encoding", "UTF-8", "-d", str(out)]
    said = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return out


def run(classes: Path, *arguments: object) -> Any:
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", str(classes), "Check", *map(str, arguments)]
    said = subprocess.run(command, capture_output=True, check=False)
    assert said.returncode == 0, said.stderr.decode()
    return json.loads(said.stdout)


def artifacts(tokenizer: Any, folder: Path) -> Path:
    """What of an export the pure Java reads."""
    tokenizer.save_pretrained(folder)
    frame = None
    if tokenizer.chat_template:
        before, _, after = render(tokenizer, "\0").partition("\0")
        frame = {"before": before, "after": after, "strip": False}
    values = {"frame": frame, "pad_id": tokenizer.pad_token_id, "end_id": tokenizer.eos_token_id}
    header = {"kind": "training", "format_version": 1, "digest": "d", "max_length": 64, "tokenizer": values}
    (folder / "xpert.json").write_text(json.dumps(header), encoding="utf-8")
    (folder / "checkpoint").write_text("0")
    return folder


def config(folder: Path, data: list[dict[str, str]], **more: Any) -> Path:
    (folder / "me.jsonl").write_text("\n".join(map(json.dumps, data)), encoding="utf-8")
    paths = {"artifacts": folder / "artifacts", "data": folder / "me.jsonl", "out": folder / "out"}
    values = {**{name: str(path) for name, path in paths.items()}, **more}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder / "config.json"


DATA = [{"prompt": f"tell me {i}", "response": f"the quick brown fox {i} jumps"} for i in range(12)]


@pytest.fixture
def tokenizer(tiny_base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_base)


@javac
def test_tokens_are_those_of_the_tokenizers_library(classes: Path, tokenizer: Any, tmp_path: Path) -> None:
    from tokenizers import Regex, pre_tokenizers, processors

    (tmp_path / "texts.json").write_text(json.dumps(TEXTS), encoding="utf-8")
    raw = tokenizer.backend_tokenizer
    llama3 = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+"
    )
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    smol = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    kinds = {
        "gpt2": raw.pre_tokenizer,
        "llama3": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(llama3), "isolated"), byte_level]),
        "smollm": pre_tokenizers.Sequence(smol),
    }
    for name, kind in kinds.items():
        raw.pre_tokenizer = kind
        end = ("<|end|>", raw.token_to_id("<|end|>"))
        raw.post_processor = processors.TemplateProcessing(single="<|end|> $A", special_tokens=[end])
        raw.save(str(tmp_path / f"{name}.json"))
        found = run(classes, "tokens", tmp_path / f"{name}.json", tmp_path / "texts.json")
        expected = [raw.encode(text, add_special_tokens=special).ids for text in TEXTS for special in (False, True)]
        assert found == expected, name


@javac
def test_another_kind_of_tokenizer_is_refused(classes: Path, tmp_path: Path) -> None:
    values = {"model": {"type": "Unigram", "vocab": []}, "added_tokens": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(AssertionError, match="model Unigram is not known here: only byte-level BPE"):
        run(classes, "tokens", tmp_path / "tokenizer.json", tmp_path / "tokenizer.json")


@javac
def test_order_and_learning_rate_are_those_of_python(classes: Path) -> None:
    found = run(classes, "order")
    assert found[:-1] == list(islice(training_order(10, 4, 7), 12))
    assert found[-1] == permutation(1000, 3_000_009)


@javac
@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_rates(classes: Path, tmp_path: Path, schedule: Any) -> None:
    file = config(tmp_path, DATA, schedule=schedule, warmup=3, max_steps=9, learning_rate=0.5)
    settings = TorchTrainer(schedule=schedule, warmup=3, max_steps=9, lr=0.5).settings
    assert run(classes, "rates", file) == pytest.approx([learning_rate(step, settings) for step in range(9)])


@javac
@pytest.mark.parametrize("template", [True, False])
def test_batches_are_those_of_python(classes: Path, tmp_path: Path, tokenizer: Any, template: bool) -> None:
    if not template:
        tokenizer.chat_template = None
    artifacts(tokenizer, tmp_path / "artifacts")
    data = [*DATA, {"text": "the sun is warm"}, {"prompt": "long", "response": "sun " * 90}]
    file = config(tmp_path, data, seed=3, eval_fraction=0.25)
    found = run(classes, "batches", file)
    all_ = [Example(prompt=d.get("prompt"), response=d.get("response") or d["text"]) for d in data]
    train, held = split(all_, 0.25, 3)
    assert token_ids(tokenizer, ["x"])
    batch = batch_of(encode(tokenizer, train, 64, end_id=tokenizer.eos_token_id), tokenizer.pad_token_id)
    mine = found["training"][0]
    assert mine["ids"] == batch.ids.ravel().tolist()
    assert mine["labels"] == batch.labels.ravel().tolist()
    assert batch.mask is not None
    assert mine["mask"] == batch.mask.ravel().tolist()
    assert (found["held"], found["cut"]) == (len(held), 1)


@javac
def test_an_interrupted_training_goes_on_from_its_checkpoint(classes: Path, tmp_path: Path, tokenizer: Any) -> None:
    artifacts(tokenizer, tmp_path / "artifacts")
    options = {"max_steps": 9, "batch_size": 4, "checkpoint_every": 2, "eval_every": 3}
    whole = run(classes, "train", config(tmp_path, DATA, **options), -1, "")
    expected = json.loads((tmp_path / "out/result.json").read_text())
    shutil.rmtree(tmp_path / "out")
    first = run(classes, "train", config(tmp_path, DATA, **options), 5, "")
    assert first["end"].startswith("InterruptedException")
    assert not (tmp_path / "out/result.json").exists()
    (tmp_path / "out/checkpoint").rename(tmp_path / "out/checkpoint.old")  # killed between two moves
    second = run(classes, "train", config(tmp_path, DATA, **options), -1, "")
    assert first["log"] + second["log"] == whole["log"]
    result = json.loads((tmp_path / "out/result.json").read_text())
    for name in ("step", "losses", "eval_losses", "stopped_by", "examples"):
        assert result[name] == expected[name]
    assert (tmp_path / "out/checkpoint/state").read_text() == "9.0"
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith("checkpoint")] == ["checkpoint"]


@javac
def test_a_loss_that_is_not_finite_leaves_the_state_before(classes: Path, tmp_path: Path, tokenizer: Any) -> None:
    artifacts(tokenizer, tmp_path / "artifacts")
    said = run(classes, "train", config(tmp_path, DATA, max_steps=9), -1, "nan")
    assert "training loss at step 4 is not finite" in said["end"]
    assert (tmp_path / "out/checkpoint/state").read_text() == "3.0"


@javac
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_step": 9}, "max_step: expected no such key"),
        ({"max_steps": 0}, "max_steps: expected a whole number of at least 1"),
        ({"schedule": "step"}, "schedule: expected constant, cosine or linear"),
        ({"learning_rate": "high"}, "learning_rate: expected a number"),
    ],
)
def test_a_wrong_configuration_is_told(classes: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        run(classes, "rates", config(tmp_path, DATA, **change))


def test_every_file_says_that_it_was_never_compiled_for_android() -> None:
    files = [path for path in APP.rglob("*") if path.suffix in (".java", ".gradle", ".xml", ".properties", ".md")]
    assert len(files) >= 15
    for path in files:
        text = path.read_text(encoding="utf-8").lower()
        assert "ever compiled against" in text, path
    for path in APP.rglob("*.xml"):
        ElementTree.parse(path)


def test_no_permission_for_the_network() -> None:
    manifest = (APP / "app/src/main/AndroidManifest.xml").read_text(encoding="utf-8")
    assert "android.permission.INTERNET" not in manifest
