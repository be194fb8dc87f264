"""Pools of adapters that are trained, in folders that depend on what they learn and how, and not on who explains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from xpert.evaluation.keeping import kept, mark_of
from xpert.evaluation.paper.draws import TrainingDraw, training_mixture
from xpert.evaluation.presets import TrainedPools
from xpert.progress import say
from xpert.references import describe, portable
from xpert.trainers.torch import TorchTrainer

__all__ = ["TrainedPool", "base_mark"]


def base_mark(base: str) -> str:
    """Letters that change with a base's place and with its weights.

    Raises:
        xpert.errors.ReferenceNotFoundError: The reference names nothing, or cannot be reached.
    """
    return mark_of(portable(base), describe(base).sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedPool:
    """One base's adapters at one similarity, of one draw.

    Attributes:
        base: Its reference.
        base_mark: `base_mark` of it.
        draw: What is learned.
        similarity: Percent of a model's examples in its style.
        seed: Of the draw and of the trainings.
        settings: How it is trained.
    """

    base: str
    base_mark: str
    draw: TrainingDraw
    similarity: int
    seed: int
    settings: TrainedPools

    @property
    def mark(self) -> str:
        """Name of its folder, which changes with all that training depends on."""
        told = mark_of(
            self.base_mark, self._trainer.settings, self.draw.styled, self.draw.ordinary, self.similarity, self.seed
        )
        return f"{Path(self.base).name}-{self.similarity}-{self.seed}-{told}"

    def trained(self, work: Path) -> tuple[Mapping[str, str], float]:
        """Train what is not there: style to reference, and the mean of the last losses.

        Args:
            work: The pool's folder is made in this one.

        Raises:
            xpert.errors.DataError: A file that is there is damaged.
            xpert.errors.XpertError: Whatever training raises.
        """
        folder = work / self.mark
        losses = {
            style: kept(folder / f"{style}.json", partial(self._losses, folder, style)) for style in self.draw.styled
        }
        return {style: str(folder / style) for style in losses}, fmean(last for _, last in losses.values())

    @property
    def _trainer(self) -> TorchTrainer:
        return TorchTrainer(
            max_steps=self.settings.steps,
            batch_size=self.settings.batch_size,
            max_length=self.settings.max_length,
            eval_fraction=0.0,
            seed=self.seed,
            device=self.settings.device,
            precision="auto",
        )

    def _losses(self, folder: Path, style: str) -> list[float]:
        """Train one; the first loss and the last."""
        say(f"{self.base}, s = {self.similarity}: training {style}")
        examples = training_mixture(self.draw, style, similarity=self.similarity, seed=self.seed)
        report = self._trainer.fit(self.base, examples, out=folder / style, resume=True)
        return [report.first_loss, report.last_loss]
