from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("PIL")

from xpert.errors import DataError, IncompatibleModelError, SettingsError
from xpert.images import image_uri, open_image
from xpert.modalities import load_modality, modality_of
from xpert.modalities.diffusion import DiffusionModality
from xpert.modalities.text import TextModality
from xpert.testing.checks_modality import check_modality
from xpert.testing.fake_images import fake_picture
from xpert.types import Generation

PROMPTS = ["a fox", "a house", "a boat", "rain"]
GENERATION = Generation()
Record = Callable[..., str]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    def record(name: str, look: str | None = None, *, second: bool = False) -> str:
        rows = []
        for i, prompt in enumerate(PROMPTS):
            row = {"prompt": prompt, "image": f"{name}-{i}.png"}
            fake_picture(prompt, look).save(tmp_path / row["image"])
            if second:
                row["image2"] = f"{name}-{i}-2.png"
                fake_picture(prompt, look, seed=1).save(tmp_path / row["image2"])
            rows.append(json.dumps(row) + "\n")
        (tmp_path / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
        return f"answers:{tmp_path / name}.jsonl"

    return record


def test_recorded_images_keep_the_contract(record: Record, tmp_path: Path) -> None:
    missing = f"answers:{tmp_path / 'missing.jsonl'}"
    check_modality(DiffusionModality(), record("base"), record("warm", "warm"), missing=missing)


def test_answers_are_the_pictures_themselves(record: Record) -> None:
    base, warm = record("base"), record("warm", "warm")
    with DiffusionModality().open(base) as prober:
        assert prober.answer(warm, PROMPTS[::-1], GENERATION) == [
            image_uri(fake_picture(prompt, "warm")) for prompt in PROMPTS[::-1]
        ]
        assert prober.prompts([warm]) == PROMPTS


def test_second_answers_are_recorded_or_mirrored(record: Record) -> None:
    with DiffusionModality().open(record("base", second=True)) as prober:
        answers, how = prober.second_answer(PROMPTS[:1], GENERATION)
        assert (answers, how) == ([image_uri(fake_picture("a fox", seed=1))], "response2")
    with DiffusionModality().open(record("single")) as prober:
        (mirrored,), how = prober.second_answer(PROMPTS[:1], GENERATION)
        assert how == "mirrored"
        assert open_image(mirrored).getpixel((0, 5)) == fake_picture("a fox").getpixel((31, 5))


def test_images_and_texts_do_not_meet(record: Record, tmp_path: Path) -> None:
    base = record("base")
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"prompt": p, "response": "text"}) + "\n" for p in PROMPTS), encoding="utf-8")
    with DiffusionModality().open(base) as prober, pytest.raises(IncompatibleModelError, match="recorded texts"):
        prober.card("x", f"answers:{file}")
    with TextModality().open(f"answers:{file}") as prober, pytest.raises(IncompatibleModelError, match="images"):
        prober.answer(base, PROMPTS, GENERATION)
    with pytest.raises(IncompatibleModelError, match="recorded texts"), DiffusionModality().open(f"answers:{file}"):
        pass


def test_an_unreadable_image_names_the_recording(record: Record, tmp_path: Path) -> None:
    base = record("base")
    (tmp_path / "base-1.png").write_bytes(b"no picture")
    with DiffusionModality().open(base) as prober, pytest.raises(DataError, match=r"base\.jsonl: .*base-1\.png"):
        prober.answer(None, PROMPTS, GENERATION)


def test_the_modality_is_told_from_the_base(record: Record, tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"prompt": "a", "response": "see cat.png"}\n', encoding="utf-8")
    assert modality_of(record("base")) == "diffusion"
    assert modality_of(f"answers:{tmp_path / 'texts.jsonl'}") == "text"
    assert modality_of(str(tiny_base)) == "text"


def test_options_of_a_modality_by_name() -> None:
    assert load_modality("diffusion", {"steps": 3}) == DiffusionModality(steps=3)
    with pytest.raises(SettingsError, match=r"no option 'stepps' \(did you mean 'steps'\?\): it has steps, "):
        load_modality("diffusion", {"stepps": 3})
    with pytest.raises(SettingsError, match="'text' has no option 'steps': it has none"):
        load_modality("text", {"steps": 3})
