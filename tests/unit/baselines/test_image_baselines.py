from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL")
pytest.importorskip("torchmetrics")

import torch

from xpert.baselines.clip_similarity import CLIPSimilarityBaseline
from xpert.baselines.comparing import headline
from xpert.baselines.fid import FIDBaseline
from xpert.baselines.image_features import ModuleFeatures, inception, opened_features
from xpert.baselines.kid import KIDBaseline
from xpert.baselines.metrics import FID, KID, distance_of
from xpert.errors import DataError, MissingDependencyError, SettingsError, WeightsError
from xpert.images import image_uri
from xpert.registry import BASELINES, SUMMARIZERS
from xpert.testing.checks_selection import check_selection_method
from xpert.testing.fake_images import FAKE_LOOKS, fake_picture
from xpert.types import Array, Example


def pictures(look: str | None, n: int, what: str) -> list[str]:
    return [image_uri(fake_picture(f"{what} {i}", look)) for i in range(n)]


class Means:
    """Image features of tests: mean and spread of each channel; counts what it encodes."""

    name = "means"

    def __init__(self) -> None:
        self.encoded = 0
        self.closed = False

    def encode_images(self, images: Sequence[str]) -> Array:
        from xpert.images import open_image

        self.encoded += len(images)
        pixels = [np.asarray(open_image(image), np.float32) / 255 for image in images]
        return np.stack([np.concatenate([p.mean((0, 1)), p.std((0, 1)), p[::8, ::8].std((0, 1))]) for p in pixels])

    def close(self) -> None:
        self.closed = True


POOL = {look: pictures(look, 24, f"of {look}") for look in FAKE_LOOKS}


@pytest.mark.parametrize("look", FAKE_LOOKS)
@pytest.mark.parametrize("name", ["fid", "kid", "clip-similarity"])
def test_baselines_keep_the_contract_and_find_planted_looks(name: str, look: str) -> None:
    mine = [Example(prompt="mine", response=image) for image in pictures(look, 20, "my own")]
    sure = name != "clip-similarity"  # of channels' means, all cosines are near 1
    check_selection_method(
        lambda: BASELINES.get(name)(POOL, features=Means()), mine, list(POOL), expected=look if sure else None
    )


def test_the_registry_names_them() -> None:
    assert {"fid", "kid", "clip-similarity"} <= set(BASELINES.names())


def test_the_cost_grows_with_the_pool() -> None:
    mine = [Example(response=image) for image in pictures("warm", 10, "my own")]
    for n in (1, 3):
        features = Means()
        FIDBaseline(dict(list(POOL.items())[:n]), features).select(mine)
        assert features.encoded == 10 + 24 * n


def test_fid_is_the_formula() -> None:
    """For diagonal covariances FID is the sum over dimensions of squared differences of means and of standard deviations."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(0, 1, (4000, 3)), rng.normal([1, 0, 0], [1, 2, 1], (4000, 3))
    found = distance_of(FID, one.astype(np.float32), two.astype(np.float32))
    assert found == pytest.approx(1 + 1, rel=0.06)


def test_kid_is_the_unbiased_estimate() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (12, 4)), rng.normal(1, 1, (12, 4))

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / 4 + 1) ** 3

    def off_diagonal(k: np.ndarray) -> float:
        return float((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)))

    expected = off_diagonal(kernel(x, x)) + off_diagonal(kernel(y, y)) - 2 * kernel(x, y).mean()
    found = distance_of(KID, x, y, subsets=2, subset_size=12)
    assert found == pytest.approx(expected)


def test_subsets_are_drawn_from_the_seed_alone() -> None:
    mine = [Example(response=image) for image in pictures("bright", 12, "my own")]
    state = torch.random.get_rng_state()
    ranked = [KIDBaseline(POOL, Means(), subset_size=5, seed=seed).select(mine).ranking for seed in (0, 0, 1)]
    assert torch.equal(state, torch.random.get_rng_state())
    assert ranked[0] == ranked[1] != ranked[2]


def test_estimates_below_zero_are_ordered_and_told_as_zero() -> None:
    same = pictures(None, 20, "one")
    selection = KIDBaseline({"same": same, "other": POOL["bright"]}, Means()).select(
        [Example(response=i) for i in same]
    )
    assert selection.ranking[0] == ("same", 0.0)


def test_clip_similarity_is_one_minus_the_mean_cosine() -> None:
    class Rows:
        name = "rows"

        def encode_images(self, images: Sequence[str]) -> Array:
            return np.array([{"a": [1, 0], "b": [0, 2], "c": [3, 3]}[image] for image in images], np.float32)

    selection = CLIPSimilarityBaseline({"one": ["a", "b"], "two": ["c"]}, Rows()).select([Example(response="a")])
    assert dict(selection.ranking) == {"one": pytest.approx(0.5), "two": pytest.approx(1 - 0.5**0.5)}
    assert selection.best == "two"
    assert (selection.matched, selection.paired, selection.words) == (True, False, ())


def test_the_headline_is_kid_for_few_images() -> None:
    assert (headline(499), headline(500)) == ("kid", "fid")


def test_a_torch_module_serves_as_features() -> None:
    class Pool(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            assert pixels.dtype == torch.uint8
            assert pixels.shape[1:] == (3, 299, 299)
            return pixels.float().mean((2, 3))

    mine = [Example(response=image) for image in pictures("warm", 6, "my own")]
    assert FIDBaseline({look: images[:6] for look, images in POOL.items()}, Pool()).select(mine).best == "warm"
    small = ModuleFeatures(torch.nn.Flatten(), side=4, batch_size=4)
    assert small.encode_images(pictures(None, 5, "x")).shape == (5, 48)
    with pytest.raises(WeightsError, match=r"expected 2 rows, got an array of shape \(2, 3, 4, 4\)"):
        ModuleFeatures(torch.nn.Identity(), side=4).encode_images(pictures(None, 2, "x"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 0], [np.inf, 1]], "a feature is not finite"),
        ([[1, 0]], r"expected 2 rows, got an array of shape \(1, 2\)"),
    ],
)
@pytest.mark.parametrize("baseline", [FIDBaseline, KIDBaseline, CLIPSimilarityBaseline])
def test_features_that_cannot_be_compared_are_refused(rows: Any, message: str, baseline: Any) -> None:
    class Broken:
        name = "broken"

        def encode_images(self, images: Sequence[str]) -> Array:
            return np.array(rows, np.float32)

    with pytest.raises(WeightsError, match=f"image features broken: {message}"):
        baseline({"a": ["x", "y"]}, Broken()).select([Example(response="u"), Example(response="v")])


def test_features_by_name_are_closed(monkeypatch: Any) -> None:
    made = Means()
    module: Any = ModuleType("features_of_tests")
    module.load = lambda target: made
    module.load.target = "REF"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(SUMMARIZERS.builtin, "means", f"{module.__name__}:load")
    mine = [Example(response=image) for image in pictures("warm", 6, "my own")]
    assert KIDBaseline(POOL, "means:x").select(mine).best == "warm"
    assert made.closed


def test_bad_input_is_told(tmp_path: Path) -> None:
    mine = [Example(response=image) for image in pictures("warm", 6, "my own")]
    with pytest.raises(SettingsError, match="pool: expected at least one model"):
        FIDBaseline({}, Means()).select(mine)
    with pytest.raises(DataError, match="pool: b: expected at least 2 images, got 1"):
        FIDBaseline({"a": POOL["warm"], "b": POOL["warm"][:1]}, Means()).select(mine)
    with pytest.raises(DataError, match="examples: expected at least 8 images, got 6"):
        KIDBaseline(POOL, Means(), subset_size=8).select(mine)
    with pytest.raises(DataError, match=r"a text"):
        FIDBaseline(POOL, Means()).select([Example(response="a text"), Example(response="another")])
    with pytest.raises(SettingsError, match="an object with encode_images"), opened_features(3):  # pyright: ignore
        pass
    with pytest.raises(SettingsError, match="subset_size: expected"):
        KIDBaseline(POOL, Means(), subset_size=1)


def test_inception_says_what_it_needs(monkeypatch: Any) -> None:
    from xpert.baselines import image_features

    monkeypatch.setattr(image_features, "find_spec", lambda name: None if name == "torch_fidelity" else object())
    with pytest.raises(MissingDependencyError, match=r"Inception features needs torch-fidelity.*xpert\[eval\]"):
        inception()


def test_inception_has_what_fid_is_defined_by(monkeypatch: Any) -> None:
    from torchmetrics.image import fid

    from xpert.baselines import image_features

    class Network(torch.nn.Module):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__()
            self.given = (given, options)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            assert pixels.shape[1:] == (3, 299, 299)
            return torch.zeros(len(pixels), 2048)

    made: list[Network] = []

    def network(*given: Any, **options: Any) -> Network:
        made.append(Network(*given, **options))
        return made[-1]

    monkeypatch.setattr(fid, "NoTrainInceptionV3", network)
    monkeypatch.setattr(image_features, "find_spec", lambda name: object())
    features = inception("weights.pth")
    assert features.name == "inception"
    assert features.encode_images(pictures(None, 2, "x")).shape == (2, 2048)
    assert made[0].given == (("inception-v3-compat", ["2048"]), {"feature_extractor_weights_path": "weights.pth"})
