"""A training session of ONNX Runtime: gradients of parts of a batch, optimizer steps, the state on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from xpert.artifacts.runtime import session_options, training_build
from xpert.errors import TrainingError
from xpert.trainers.data import Batch
from xpert.trainers.onnx.artifacts import Artifacts

__all__ = ["TrainingSession"]

_Result = TypeVar("_Result")


class TrainingSession:
    """The graphs of an artifact folder with a state.

    Args:
        artifacts: The folder.
        state: The state to begin with: the artifacts' own ``checkpoint``, or one that `save` wrote.
        threads: Of the processor; None: one a core.

    Raises:
        xpert.errors.MissingDependencyError: The training build of ONNX Runtime is not installed.
        xpert.errors.TrainingError: It cannot read the files.
    """

    def __init__(self, artifacts: Artifacts, state: Path, *, threads: int | None) -> None:
        self._api = training_build()
        folder, options = artifacts.folder, session_options(threads)
        self._where = str(folder)
        self._state: Any = self._told(lambda: self._api.CheckpointState.load_checkpoint(str(state)))
        self._module: Any = self._told(
            lambda: self._api.Module(
                str(folder / "training_model.onnx"),
                self._state,
                str(folder / "eval_model.onnx"),
                session_options=options,
            )
        )
        self._optimizer: Any = self._told(
            lambda: self._api.Optimizer(str(folder / "optimizer_model.onnx"), self._module)
        )
        self._trained = [tensor.parameter for tensor in artifacts.trained]
        self._inputs = {True: list(self._module.train().input_names()), False: list(self._module.eval().input_names())}

    def learn(self, batch: Batch, n_tokens: int) -> float:
        """Add the gradients of a batch, or of a part of one; its summed loss divided by ``n_tokens``."""
        return self._run(batch, n_tokens, training=True)

    def loss(self, batch: Batch, n_tokens: int) -> float:
        """The summed loss of a batch divided by ``n_tokens``; nothing is learnt."""
        return self._run(batch, n_tokens, training=False)

    def step(self, rate: float) -> None:
        """One optimizer step with the gradients so far, which are gone then."""
        self._optimizer.set_learning_rate(rate)
        self._told(self._optimizer.step)
        self.forget()

    def forget(self) -> None:
        """Drop the gradients so far."""
        self._module.lazy_reset_grad()

    def parameter(self, name: str) -> np.ndarray:
        """A parameter's present value, by its name in the graphs."""
        return self._state.parameters[name].data

    def trained(self) -> dict[str, np.ndarray]:
        """Copies of what trains, by name."""
        return {name: self.parameter(name).copy() for name in self._trained}

    def has_finite_gradients(self) -> bool:
        """Whether the gradients so far are finite."""
        return all(bool(np.isfinite(self._state.parameters[name].grad).all()) for name in self._trained)

    def save(self, file: Path) -> None:
        """Write parameters and the optimizer's state; a session that begins with the file goes on bit for bit."""
        self._told(
            lambda: self._api.CheckpointState.save_checkpoint(self._state, str(file), include_optimizer_state=True)
        )

    def _run(self, batch: Batch, n_tokens: int, *, training: bool) -> float:
        given = {
            "input_ids": batch.ids,
            "attention_mask": np.ones_like(batch.ids) if batch.mask is None else batch.mask,
            "labels": batch.labels,
            "tokens": np.asarray(n_tokens, np.float32),
        }
        self._module.train(training)
        feeds = [given[name] for name in self._inputs[training]]  # by position: the runtime does not look at names
        out = self._told(lambda: self._module(*feeds))
        return float(out[0] if isinstance(out, tuple) else out)

    def _told(self, work: Callable[[], _Result]) -> _Result:
        """The runtime's own errors, which are of a dozen classes without a common root, as ours."""
        try:
            return work()
        except MemoryError:
            raise
        except Exception as error:
            told = " ".join(str(error).split())[:300]
            raise TrainingError(f"{self._where}: ONNX Runtime cannot go on: {told}") from error
