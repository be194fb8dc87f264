"""Pictures drawn by code: same seed same picture, styles far apart, captions in one split, folders that load."""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest

from xpert.zoo.pictures import PLAIN, STYLES, accepted_words, scenes, split_of, write_dataset
from xpert.zoo.pictures.dataset import draw, mixed_styles
from xpert.zoo.pictures.scenes import SPLITS
from xpert.zoo.pictures.styles import pixels
from xpert.zoo.pictures.words import UNNAMED, encoder_caption, painter_caption, vocabulary

pytest.importorskip("PIL")


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text))


def statistic(style: str) -> np.ndarray:
    """What a glance tells of a style: mean colour, colourfulness, contrast, local change, share of change inside 4 x 4 blocks."""
    rows = np.stack([pixels(scene, style, i) for i, scene in enumerate(scenes("probes", 8, 3))]).astype(float)
    change = [np.abs(np.diff(rows, n=2, axis=axis)).mean() for axis in (1, 2)]
    steps = np.abs(np.diff(rows, axis=1)).mean((0, 2, 3))
    inside = np.delete(steps, slice(3, None, 4)).sum() / steps.sum()
    colour = [*rows.mean((0, 1, 2)), np.ptp(rows, axis=3).mean(), rows.std((1, 2)).mean(), *change]
    return np.array([*colour, 255 * inside]) / 255


@pytest.mark.parametrize("style", [PLAIN, *STYLES])
def test_a_picture_is_its_scene_style_and_seed(style: str) -> None:
    one, other = scenes("users", 2, 0)
    first = draw(one, style, 3)
    assert first.size == (64, 64)
    assert first.mode == "RGB"
    assert first.tobytes() == draw(one, style, 3).tobytes()
    assert first.tobytes() != draw(other, style, 3).tobytes()


def test_styles_are_far_apart() -> None:
    seen = {style: statistic(style) for style in (PLAIN, *STYLES)}
    for one, other in itertools.combinations(seen, 2):
        assert np.abs(seen[one] - seen[other]).max() > 0.03, (one, other)


def test_no_caption_is_in_two_splits() -> None:
    drawn = {split: {scene.caption for scene in scenes(split, 300, 0)} for split in SPLITS}
    for one, other in itertools.combinations(drawn, 2):
        assert not drawn[one] & drawn[other]
    assert all(split_of(caption) == split for split, captions in drawn.items() for caption in captions)
    assert sorted(value for values in SPLITS.values() for value in values) == list(range(100))


def test_scenes_follow_their_seed_and_do_what_the_caption_says() -> None:
    assert scenes("train", 50, 4) == scenes("train", 50, 4)
    assert scenes("train", 50, 4) != scenes("train", 50, 5)
    for scene in scenes("train", 200, 4):
        for thing in scene.things:
            assert {thing.colour, thing.kind} <= words(scene.caption) | {
                word.removesuffix("s") for word in words(scene.caption)
            }
        if " above " in scene.caption:
            assert scene.things[0].y < scene.things[1].y
        if " left of " in scene.caption:
            assert scene.things[0].x < scene.things[1].x


def test_the_encoders_captions_name_six_styles_at_most() -> None:
    rng = random.Random(0)
    said = {style: set() for style in (PLAIN, *STYLES)}
    for style in said:
        for _ in range(300):
            said[style] |= words(encoder_caption("a red car at night", style, rng))
    everything = set().union(*said.values())
    assert len(UNNAMED) >= 3
    assert not everything & {form for name in UNNAMED for form in (name, f"{name}s")}
    assert set(vocabulary()) <= everything
    assert not set(vocabulary()) & set(UNNAMED)
    for style in UNNAMED:
        assert style in words(" ".join(painter_caption("a red car", style, rng) for _ in range(50)))


def test_each_style_has_words_that_count_and_shares_none() -> None:
    table = accepted_words()
    assert set(table) == set(STYLES)
    assert all(style in table[style] for style in STYLES)
    flat = [word for row in table.values() for word in row]
    assert len(flat) == len(set(flat))


def test_a_mixture_holds_exactly_its_share() -> None:
    kinds = mixed_styles("neon", 0.7, 50, 1)
    assert (kinds.count("neon"), kinds.count(PLAIN)) == (35, 15)
    assert kinds != sorted(kinds)
    with pytest.raises(ValueError, match=r"within 0\.\.1"):
        mixed_styles("neon", 70, 50, 1)


def test_a_folder_is_an_image_folder_and_personal_data(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "mine", "comic", 0.5, 6, seed=2)
    metadata = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    personal = [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]
    assert [row["text"] for row in metadata] == [row["prompt"] for row in personal]
    assert all((folder / row["file_name"]).is_file() for row in metadata)
    assert all(split_of(row["prompt"]) == "users" and "comic" not in row["prompt"] for row in personal)


def test_unknown_names_are_told() -> None:
    with pytest.raises(ValueError, match="expected a style"):
        draw(scenes("users", 1, 0)[0], "cubist")
    with pytest.raises(ValueError, match="expected a split"):
        scenes("nobody", 1, 0)  # type: ignore[arg-type]
