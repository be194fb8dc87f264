"""The whole flow over images with a planted encoder and a planted generator: which words come out is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from xpert.catalog import Catalog
from xpert.errors import SummarizerError
from xpert.explainer import Explainer
from xpert.selector import Selector
from xpert.subvectors.captioned import CaptionedSubvectors
from xpert.subvectors.painted import PaintedSubvectors
from xpert.types import Example, Generation, ModelCard

Make = Callable[..., Any]
PROMPTS = ["a picture of a picture", "a photo of a photo", "a photo", "a picture"]
TINTS = {"red": (1.8, 0.8, 0.8), "green": (0.8, 1.8, 0.8), "blue": (0.8, 0.8, 1.8)}


class Generator:
    """Paints a grey that depends on the prompt; a model, or a prompt that names a colour, tints it."""

    name = "planted"

    def __init__(self, picture: Make) -> None:
        self.picture = picture

    @contextmanager
    def open(self, base: str, *, device: str | None = None, dtype: str | None = None) -> Iterator[Generator]:
        yield self

    def card(self, name: str, reference: str) -> ModelCard:
        return ModelCard(name=name, reference=reference, kind="pipeline", base="base", bytes=1, sha256="0" * 64)

    def answer(self, reference: str | None, prompts: Sequence[str], generation: Generation) -> list[str]:
        drawn = []
        for prompt in prompts:
            named = reference or next((colour for colour in TINTS if colour in prompt), None)
            tint = TINTS.get(named or "", (1.0, 1.0, 1.0))
            grey = 60 + len(prompt.partition(",")[0])
            drawn.append(self.picture(*(int(grey * share) for share in tint)))
        return drawn

    def prompts(self, references: Sequence[str]) -> list[str]:
        return PROMPTS

    def second_answer(self, prompts: Sequence[str], generation: Generation) -> tuple[list[str], str]:
        return self.answer(None, prompts, generation), "the same again"


@pytest.mark.parametrize("way", ["captioned", "captioned, the script's way", "painted"])
def test_the_planted_word_is_the_strongest_and_its_user_is_found(
    way: str, colour_encoder: Make, picture: Make, tmp_path: Path
) -> None:
    generator, encoder = Generator(picture), colour_encoder()
    source = {
        "captioned": CaptionedSubvectors(),
        "captioned, the script's way": CaptionedSubvectors(centred=False),
        "painted": PaintedSubvectors(generator, n_prompts=2),
    }[way]
    explainer = Explainer(
        base="base",
        summarizer=encoder,
        n_prompts=4,
        modality=generator,
        subvectors=source,
        measured_weight=0,
        eps_orth=0.9,
        eps_dec=0.01,
    )
    explainer.explain({colour: colour for colour in TINTS}).save_pretrained(tmp_path / "c")
    catalog = Catalog.from_pretrained(tmp_path / "c")
    for colour in TINTS:
        word, value = catalog[colour].words[0]
        assert value > 0, (colour, catalog[colour].words)
        assert word == colour, (colour, catalog[colour].words)
    mine = [Example(prompt="", response=answer) for answer in generator.answer("green", PROMPTS, Generation())]
    assert Selector(catalog, summarizer=encoder).select(mine).best == "green"
    base = [Example(prompt="", response=answer) for answer in generator.answer(None, PROMPTS, Generation())]
    assert Selector(catalog, summarizer=encoder).select(mine, base_answers=base).best == "green"


def test_an_encoder_of_another_width(colour_encoder: Make, picture: Make, tmp_path: Path) -> None:
    from xpert.summarizers.image_encoder import ImageEncoderSummarizer

    generator = Generator(picture)
    explainer = Explainer(base="base", summarizer=colour_encoder(), n_prompts=2, modality=generator, measured_weight=0)
    catalog = explainer.explain({"red": "red"})

    class Wider(ImageEncoderSummarizer):
        width = 7  # pyright: ignore[reportAssignmentType]

        def __init__(self) -> None:
            pass

        name = "encoder:wider"  # pyright: ignore[reportAssignmentType]

    with pytest.raises(SummarizerError, match="'encoder:wider' is 7 wide, the catalog's"):
        Selector(catalog, summarizer=Wider()).select([Example(prompt="", response=picture())])
