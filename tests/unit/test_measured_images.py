from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL")

from xpert.errors import CatalogError, DataError
from xpert.images import image_uri
from xpert.measured import MEASURED, measure_named
from xpert.measured_images import IMAGE_MEASURED, image_quantities, measure_images
from xpert.testing.fake_images import fake_picture
from xpert.types import AnswerPair


def picture(pixels: Any) -> str:
    from PIL import Image

    return image_uri(Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)))


def scene() -> Any:
    return np.asarray(fake_picture("a scene", seed=3), np.float64) / 255 * 0.8


def between(base: Any, other: Any) -> dict[str, float]:
    row = measure_images([AnswerPair(prompt="", base=picture(base), other=picture(other))])[0]
    return dict(zip(IMAGE_MEASURED, row.tolist(), strict=True))


def checks(side: int) -> Any:
    return np.kron(np.indices((32 // side, 32 // side)).sum(axis=0) % 2, np.ones((side, side)))[..., None].repeat(3, 2)


@pytest.mark.parametrize(
    ("name", "base", "other"),
    [
        ("brighter", scene(), scene() + 0.1),
        ("more contrast", scene() * 0.5 + 0.2, scene()),
        ("more saturated", scene().mean(axis=2, keepdims=True) * 0.5 + scene() * 0.5, scene()),
        ("more hues", scene() * [1, 0.1, 0.1], scene()),
        ("more edges", np.full((32, 32, 3), 0.5), scene()),
        ("coarser blocks", checks(2), checks(8)),
        ("warmer", scene(), scene() * [1, 1, 0.5]),
    ],
)
def test_each_quantity_moves_with_what_it_is_named_for(name: str, base: Any, other: Any) -> None:
    there, back = between(base, other)[name], between(other, base)[name]
    assert there > 0.02
    assert back == pytest.approx(-there)


@pytest.mark.parametrize("pixels", [np.zeros((8, 8, 3)), np.ones((300, 9, 3)), np.full((64, 64, 3), [1.0, 0.0, 0.0])])
def test_quantities_are_within_bounds_for_single_colours(pixels: Any) -> None:
    values = np.array(image_quantities(pixels))
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (values <= 1).all()
    assert between(pixels, pixels) == dict.fromkeys(IMAGE_MEASURED, 0.0)


def test_grey_has_no_hues_and_noise_in_it_next_to_none() -> None:
    noise = 0.5 + np.random.default_rng(0).normal(0, 0.002, (64, 64, 3))
    assert between(np.full((64, 64, 3), 0.5), noise)["more hues"] < 0.25


def test_a_larger_copy_measures_the_same() -> None:
    large = np.kron(scene(), np.ones((16, 16, 1)))
    values = between(np.kron(scene(), np.ones((4, 4, 1))), large)
    assert max(map(abs, values.values())) < 0.01


def test_columns_come_in_the_order_of_the_names() -> None:
    pair = AnswerPair(prompt="", base=picture(scene()), other=picture(scene() + 0.1))
    assert measure_named([pair], ["warmer", "brighter"]).tolist() == measure_images([pair])[:, [6, 0]].tolist()
    assert measure_named([pair], []).shape == (1, 0)
    assert measure_images([]).shape == (0, len(IMAGE_MEASURED))
    assert not set(IMAGE_MEASURED) & set(MEASURED)


def test_texts_among_images_and_unknown_quantities_are_told() -> None:
    text = AnswerPair(prompt="", base="a text", other="another")
    with pytest.raises(DataError, match="expected an image"):
        measure_named([text], ["brighter"])
    with pytest.raises(CatalogError, match="'shinier'"):
        measure_named([text], ["shinier"])
