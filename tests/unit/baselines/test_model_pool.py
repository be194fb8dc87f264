"""A pool of real (tiny) models: losses are those that training tells, whatever is asked beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xpert.baselines.exhaustive import ExhaustiveBaseline
from xpert.baselines.pool import ModelPool
from xpert.errors import DataError, IncompatibleModelError, RecordedModelError, SettingsError
from xpert.modalities.text import TextModality
from xpert.protocols import ScoringProber
from xpert.references import describe
from xpert.testing.checks_selection import check_costed_method
from xpert.trainers.torch import TorchTrainer
from xpert.types import Example, Generation

TEXTS = ["a short one", "a much longer answer about rivers, and boats on them", "yes", "rain falls in the hills"]
MINE = [Example(prompt=f"tell me of subject {i}", response=text) for i, text in enumerate(TEXTS)]


@pytest.fixture
def pool(tiny_base: Path, tiny_adapters: dict[str, Path]) -> ModelPool:
    return ModelPool(base=str(tiny_base), models={name: str(path) for name, path in tiny_adapters.items()})


def test_a_pool_of_adapters_keeps_the_contract(pool: ModelPool) -> None:
    found = check_costed_method(lambda: ExhaustiveBaseline(pool), MINE, pool.names)
    assert found.cost.inferences == len(pool.names) * len(MINE)
    assert found.cost.downloaded_bytes == sum(describe(path).bytes for path in pool.models.values())
    assert found.cost.seconds > 0


def test_losses_are_those_of_training(tiny_base: Path, tmp_path: Path) -> None:
    """One example at a time, against the validation loss that the trainer reports before its first step."""
    with TextModality().open(str(tiny_base)) as prober:
        assert isinstance(prober, ScoringProber)
        with prober.scoring(None) as losses:
            found = losses(MINE)
    for i, example in enumerate(MINE):
        trainer = TorchTrainer(max_steps=1, eval_every=1)
        report = trainer.fit(tiny_base, MINE[:1], validation=[example], out=tmp_path / str(i))
        assert found[i] == pytest.approx(report.eval_losses[0][1], rel=1e-4)


def test_a_loss_does_not_depend_on_the_others(pool: ModelPool) -> None:
    with pool.open() as opened, opened.scoring("poet") as losses:
        together = losses(MINE)
        alone = np.concatenate([losses([example]) for example in MINE])
        backwards = losses(MINE[::-1])[::-1]
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    np.testing.assert_allclose(together, backwards, rtol=1e-4)


def test_large_batches_are_cut_and_give_the_same(pool: ModelPool, monkeypatch: pytest.MonkeyPatch) -> None:
    with pool.open() as opened, opened.scoring("poet") as losses:
        whole = losses(MINE)
        monkeypatch.setattr("xpert.modalities.text.scoring._TOKENS_AT_ONCE", 1)
        np.testing.assert_allclose(losses(MINE), whole, rtol=1e-4)


def test_the_base_is_as_before_after_a_model(pool: ModelPool) -> None:
    with TextModality().open(pool.base) as prober:
        assert isinstance(prober, ScoringProber)
        before = prober.answer(None, ["hello"], Generation(max_new_tokens=8))
        with prober.scoring(None) as losses:
            own = losses(MINE)
        with prober.scoring(pool.models["poet"]) as losses:
            assert not np.allclose(losses(MINE), own, rtol=1e-3)
        with prober.scoring(None) as losses:
            assert np.array_equal(losses(MINE), own)
        assert prober.answer(None, ["hello"], Generation(max_new_tokens=8)) == before


def test_a_full_model_is_scored_as_itself(tiny_base: Path, tiny_full: Path) -> None:
    pool = ModelPool(base=str(tiny_base), models={"full": str(tiny_full)})
    alone = ModelPool(base=str(tiny_full), models={"full": str(tiny_full)})
    ours, theirs = (ExhaustiveBaseline(one).select(MINE).ranking[0][1] for one in (pool, alone))
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_text_without_a_prompt_counts_whole(pool: ModelPool) -> None:
    plain = [Example(prompt=None, response=text) for text in TEXTS]
    with pool.open() as opened, opened.scoring("poet") as losses:
        assert np.isfinite(losses(plain)).all()
        assert not np.allclose(losses(plain), losses(MINE), rtol=1e-3)


def test_a_held_pool_loads_its_base_once(pool: ModelPool, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = ExhaustiveBaseline(pool).select(MINE).ranking
    with pool.held() as held:
        monkeypatch.setattr("xpert.modalities.text.prober.load_model", None)
        for _ in range(2):
            assert ExhaustiveBaseline(held).select(MINE).ranking == alone


def test_what_has_no_losses_is_refused(pool: ModelPool, tmp_path: Path) -> None:
    file = tmp_path / "m.jsonl"
    file.write_text('{"prompt": "a", "response": "b"}\n')
    recorded = f"answers:{file}"
    with pytest.raises(RecordedModelError, match="cannot search by losses"):
        ExhaustiveBaseline(ModelPool(base=pool.base, models={"m": recorded})).select(MINE)
    with pytest.raises(IncompatibleModelError, match="tells no losses"):
        ExhaustiveBaseline(ModelPool(base=recorded, models={"m": recorded})).select(MINE)
    with pytest.raises(SettingsError, match="expected at least one"):
        ModelPool(base=pool.base, models={})
    with pytest.raises(DataError, match="example 2: expected a response"):
        ExhaustiveBaseline(pool).select([MINE[0], Example(prompt="q", response="")])
