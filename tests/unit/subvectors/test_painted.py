from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.errors import ReferenceNotFoundError, SettingsError
from xpert.protocols import BatchWriter, SubvectorContext
from xpert.registry import SUBVECTORS
from xpert.subvectors.painted import PaintedSubvectors, ProberWriter
from xpert.types import Generation

PROMPTS = ("a cat", "a dog {x}.", "a tree")
TINTS = {"red": (255, 100, 100), "blue": (100, 100, 255)}
Make = Callable[..., Any]


class Painter:
    """Paints the colour that a prompt names."""

    def __init__(self, picture: Make) -> None:
        self.picture, self.asked, self.seeds = picture, list[str](), set[int]()

    def answer(self, reference: str | None, prompts: Sequence[str], generation: Generation) -> list[str]:
        assert reference is None
        self.asked += prompts
        self.seeds.add(generation.seed)
        return [
            self.picture(*next((tint for word, tint in TINTS.items() if word in prompt), (128, 128, 128)))
            for prompt in prompts
        ]

    def fingerprint(self, reference: str | None) -> str:
        return "painter"

    def card(self, name: str, reference: str) -> Any:
        raise NotImplementedError

    def prompts(self, references: Sequence[str]) -> None:
        return None

    def second_answer(self, prompts: Sequence[str], generation: Generation) -> tuple[list[str], str]:
        return self.answer(None, prompts, generation), "again"


class Studio:
    """A modality that counts how often its painter is opened and closed."""

    name = "studio"

    def __init__(self, painter: Painter) -> None:
        self.painter, self.opened, self.closed = painter, list[tuple[str, str | None]](), 0

    @contextmanager
    def open(self, base: str, *, device: str | None = None, dtype: str | None = None) -> Iterator[Painter]:
        self.opened.append((base, device))
        try:
            yield self.painter
        finally:
            self.closed += 1


@pytest.fixture
def painter(picture: Make) -> Painter:
    return Painter(picture)


def context(encoder: Any, picture: Make, seed: int = 5) -> SubvectorContext:
    grey = [picture(120, 120, 120)] * len(PROMPTS)
    null = np.full(encoder.width, 0.01, np.float32)
    return SubvectorContext(summarizer=encoder, prompts=PROMPTS, base_answers=grey, null=null, seed=seed)


def test_vectors_are_the_painted_difference(colour_encoder: Make, painter: Painter, picture: Make) -> None:
    encoder = colour_encoder()
    rows = PaintedSubvectors(painter, n_prompts=2).vectors(["red", "blue"], context(encoder, picture))
    for row, tint in zip(rows, TINTS.values(), strict=True):
        base, other = encoder.encode_images([picture(120, 120, 120), picture(*tint)])
        np.testing.assert_allclose(row, other - base - 0.01, atol=1e-6)
    assert painter.asked == [f"{p}, in a {w} style" for w in ("red", "blue") for p in ("a cat", "a dog {x}")]
    assert painter.seeds == {5}


def test_a_painter_by_name_is_opened_for_the_words_and_gone(
    colour_encoder: Make, painter: Painter, picture: Make, tmp_path: Path
) -> None:
    studio = Studio(painter)
    source = PaintedSubvectors(tmp_path, modality=studio, device="cpu")
    where = context(colour_encoder(), picture)
    assert studio.opened == []
    source.vectors(["red", "blue"], where)
    assert (studio.opened, studio.closed) == ([(str(tmp_path), "cpu")], 1)
    source.vectors(["blue"], where)  # known
    assert studio.closed == 1
    source.vectors(["green"], where)
    assert studio.closed == 2
    assert source.name == f"painted:{tmp_path}"


def test_by_its_name_with_a_target() -> None:
    made = SUBVECTORS.make("painted:org/sd:x")
    assert isinstance(made, PaintedSubvectors)
    assert made.name == "painted:org/sd:x"
    with pytest.raises(SettingsError, match="painted sub-vectors need a painter: give painted:REF"):
        SUBVECTORS.make("painted")
    with pytest.raises(SettingsError, match="painted sub-vectors need a painter"):
        SUBVECTORS.make("painted:")
    with pytest.raises(SettingsError, match="'contrastive:org/x': contrastive takes no target: leave out ':org/x'"):
        SUBVECTORS.make("contrastive:org/x")
    with pytest.raises(ReferenceNotFoundError, match="unknown sub-vector source 'paint'"):
        SUBVECTORS.make("paint:x")
    assert SUBVECTORS.make("contrastive").name == "contrastive"


def test_the_fingerprint_is_of_the_files_wherever_they_lie(tmp_path: Path, painter: Painter) -> None:
    said = []
    for name, steps in (("a", 1), ("b", 1), ("c", 2)):
        folder = tmp_path / name
        (folder / "unet").mkdir(parents=True)
        (folder / "model_index.json").write_text(json.dumps({"unet": ["diffusers", "UNet2DConditionModel"]}))
        (folder / "unet" / "config.json").write_text(json.dumps({"steps": steps}))
        (folder / "unet" / "model.safetensors").write_bytes(b"weights")
        said.append(PaintedSubvectors(folder).fingerprint)
    assert said[0] == said[1] != said[2]
    assert "painter" in str(PaintedSubvectors(painter).fingerprint)
    options = [{}, {"n_prompts": 3}, {"template": "{word} {prompt}"}, {"generation": Generation(seed=2)}]
    assert len({PaintedSubvectors(painter, **option).fingerprint for option in options}) == 4
    assert PaintedSubvectors("answers:x.jsonl").fingerprint is None


def test_any_prober_is_a_writer(painter: Painter) -> None:
    writer = ProberWriter(painter, template="{word}: {prompt}")
    assert isinstance(writer, BatchWriter)
    assert len(writer.write("red", PROMPTS, seed=1)) == 3
    assert painter.asked[0] == "red: a cat"
    with pytest.raises(SettingsError, match="template"):
        ProberWriter(painter, template="{prompt}")


def test_a_text_model_writes_too(tiny_base: Path) -> None:
    """The same code for texts: the modality is a name."""
    writer = ProberWriter(tiny_base, modality="text", generation=Generation(max_new_tokens=4))
    texts = writer.write_all(["red", "blue"], PROMPTS)
    assert [len(row) for row in texts] == [3, 3]
    assert all(isinstance(text, str) for row in texts for text in row)
