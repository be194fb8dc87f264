"""OnnxTrainer: fine-tunes an exported model with ONNX Runtime, in a process that needs neither torch nor Transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xpert.artifacts.header import kind_of_artifacts
from xpert.artifacts.room import full_disk_told
from xpert.artifacts.runtime import runtime
from xpert.energy import counters, profile
from xpert.errors import MissingDependencyError, NotFiniteError, SettingsError
from xpert.protocols import TrainingCallback
from xpert.references import require_weights
from xpert.tensors.files import atomic_folder
from xpert.trainers.data import Encoded, data_digest, encode
from xpert.trainers.loop import Learner, Run, carry_out
from xpert.trainers.onnx.artifacts import Artifacts
from xpert.trainers.onnx.checkpoint import STATE, find_checkpoint, save_checkpoint
from xpert.trainers.onnx.learner import OnnxLearner
from xpert.trainers.onnx.result import write_adapter, write_inference_model
from xpert.trainers.onnx.session import TrainingSession
from xpert.trainers.order import share_out
from xpert.trainers.output import check_target, finished, model_card, report_of, write_result
from xpert.trainers.progress import CHECKPOINT, LAST_GOOD, Progress, fingerprint
from xpert.trainers.settings import DEFAULTS, RECIPES, Long, Method, Recipe, Schedule, TrainSettings
from xpert.types import Example, TrainingReport

__all__ = ["OnnxTrainer"]

_TORCH = ("torch", "transformers", "peft")
_RUN, _ARTIFACTS = "run", "artifacts"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxTrainer:
    """Fine-tunes a LoRA adapter from ONNX training artifacts; matches `xpert.protocols.DeviceTrainer`.

    The object is the configuration. Data, order, loss and optimizer are `xpert.TorchTrainer`'s, and so are the results, to float32's
    accuracy. Where ``start`` is a folder of artifacts (`xpert.OnnxExporter`, ``xpert export``), nothing else is needed; a model is
    exported first, where torch is installed.

    Attributes:
        max_steps: Optimizer steps at most.
        target_loss: Stop as soon as the validation loss is at most this.
        recipe: ``paper-device``: the paper's settings, where the fields below are None.
        method: ``lora``.
        lr: Peak learning rate (2e-4).
        schedule: ``constant`` (default), ``cosine`` or ``linear``, both down to 0 at ``max_steps``.
        warmup: Steps of linear warm-up (0).
        weight_decay: AdamW's; a part of the artifacts, so another value than theirs is an error (0 where a model is exported).
        batch_size: Examples that make one part of a step (8; fewer if there are fewer).
        accumulation: Batches a step: the loss of a step is over all tokens of all of them.
        rank: ``r`` of a new adapter (16); a part of the artifacts.
        alpha: ``lora_alpha`` of a new adapter (32); a part of the artifacts.
        target_modules: Modules of a new adapter, where a model is exported.
        clip: Largest norm of the gradient (1.0); a part of the artifacts.
        max_length: Longest row in tokens (the artifacts', 512 where a model is exported).
        long: What happens to longer examples, which are told and counted: ``truncate`` cuts them, ``split`` goes on in further rows.
        bucketing: Let a step take examples of like length, so that less of it is padding.
        eval_fraction: Share of the examples to validate with where no validation examples are given; 0: no validation.
        eval_every: Steps between evaluations; None: a twentieth of ``max_steps``.
        patience: ``(n, share)``: stop when the validation loss has not improved by this share in ``n`` evaluations.
        base: Base of a start adapter that is exported, where its ``adapter_config.json`` names none that is here.
        seed: Of split, order and an exported adapter's initial values.
        checkpoint_every: Steps between checkpoints (in ``out/.checkpoint``, gone when the run is done).
        micro_batch: Examples that go through the model together: memory grows with it, results do not depend on it. None: a batch.
        threads: Of the processor; None: one a core.
        inference_model: Also write the result as a model that ONNX Runtime runs (``out/onnx``).
        phone: A phone of `xpert.energy.PROFILES`, for which the report estimates the energy as well.
        callbacks: Who is told what happens (`xpert.TrainingCallback`).
    """

    max_steps: int = 200
    target_loss: float | None = None
    recipe: Recipe | None = None
    method: Method | None = None
    lr: float | None = None
    schedule: Schedule | None = None
    warmup: int | None = None
    weight_decay: float | None = None
    batch_size: int | None = None
    accumulation: int = 1
    rank: int | None = None
    alpha: float | None = None
    target_modules: str | Sequence[str] | None = None
    clip: float | None = None
    max_length: int | None = None
    long: Long = "truncate"
    bucketing: bool = False
    eval_fraction: float = 0.1
    eval_every: int | None = None
    patience: tuple[int, float] | None = None
    base: str | Path | None = None
    seed: int = 0
    checkpoint_every: int = 100
    micro_batch: int | None = None
    threads: int | None = None
    inference_model: bool = True
    phone: str | None = None
    callbacks: Sequence[TrainingCallback] = ()

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            xpert.errors.SettingsError: One is out of range, or asks for what only `xpert.TorchTrainer` does.
        """
        if self.recipe is not None and self.recipe not in RECIPES:
            raise SettingsError(f"recipe: expected one of {', '.join(RECIPES)}, got {self.recipe!r}")
        for name in ("checkpoint_every", "micro_batch", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name}: expected at least 1, got {value!r}")
        if self.phone is not None:
            profile(self.phone)
        if (asked := self.settings.method) != "lora":
            raise SettingsError(
                f"method={asked!r}: ONNX artifacts train a LoRA adapter: use method='lora', or the trainer torch"
            )

    @staticmethod
    def accepts(start: str | Path) -> bool:
        """Whether a start is a folder of training artifacts; a model is exported only when this trainer is asked for by name."""
        return kind_of_artifacts(start) == "training"

    @property
    def settings(self) -> TrainSettings:
        """Every choice, filled in from the recipe and the defaults; what is a part of artifacts, as a new export has it."""
        chosen = {**DEFAULTS, **RECIPES.get(self.recipe or "", {})}
        chosen |= {name: getattr(self, name) for name in DEFAULTS if getattr(self, name) is not None}
        targets = self.target_modules
        return TrainSettings(
            **chosen,
            max_steps=self.max_steps,
            target_loss=self.target_loss,
            clip=1.0 if self.clip is None else self.clip,
            max_length=512 if self.max_length is None else self.max_length,
            eval_fraction=self.eval_fraction,
            eval_every=self.eval_every,
            patience=self.patience,
            seed=self.seed,
            accumulation=self.accumulation,
            long=self.long,
            bucketing=self.bucketing,
            precision="float32",
            target_modules=targets if targets is None or isinstance(targets, str) else tuple(targets),
        )

    def fit(
        self,
        start: str | Path,
        examples: Sequence[Example],
        *,
        out: str | Path,
        validation: Sequence[Example] | None = None,
        resume: bool = False,
    ) -> TrainingReport:
        """Fine-tune ``start`` on the examples and write the result to ``out``.

        Args:
            start: A folder of training artifacts; or a model or LoRA adapter, which is exported first.
            examples: What to learn.
            out: Folder of the result: the adapter, its tokenizer, ``onnx/`` (the model with the adapter in it), ``report.json``
                and a card. It appears when the run is done; an earlier result there stays until then.
            validation: What to validate with; None: a seeded share of ``examples``.
            resume: Continue from the checkpoint in ``out`` if there is one; a run that is done is not repeated.

        Raises:
            xpert.errors.MissingDependencyError: The runtime is not installed; or ``start`` must be exported, and torch is not.
            xpert.errors.RecordedModelError: ``start`` has no weights.
            xpert.errors.IncompatibleModelError: The artifacts are of a newer version, or of another tokenizer.
            xpert.errors.WeightsError: A file of the artifacts is missing or damaged.
            xpert.errors.DataError: There is nothing to learn from.
            xpert.errors.SettingsError: ``out`` is a folder of something else; a setting that the artifacts have otherwise.
            xpert.errors.NotFiniteError: A loss or a gradient is not finite; the adapter with the last finite loss is in
                ``out/last-good``.
            xpert.errors.TrainingError: The disk is full, or the checkpoint is another run's or damaged.
        """
        folder = check_target(out)
        train, held = share_out(examples, validation, self.settings)
        with full_disk_told(folder):
            artifacts = self._artifacts(start, folder)
            settings = self._fitting(artifacts)
            job, identity, session, details = self._prepare(artifacts, settings, train, held, folder, resume=resume)
            if resume and (done := finished(folder, identity)) is not None:
                return done
            try:
                progress, stopped = carry_out(job, resume=resume)
            except NotFiniteError as error:
                raise NotFiniteError(f"{error}; {_rescued(job.learner, artifacts, folder)}") from error
            report = report_of(progress, stopped, artifacts.n_trained, folder, details, phone=self.phone)
            card = model_card(report, method="lora", base=artifacts.base, library="peft", unit="nats a token")

            def write(work: Path) -> None:
                write_adapter(artifacts, session.trained(), work)
                if self.inference_model:
                    write_inference_model(artifacts, session, work)

            write_result(write, report, identity, folder, card)
        return report

    def _artifacts(self, start: str | Path, folder: Path) -> Artifacts:
        """The artifacts that ``start`` is, or those of the model that it names, made in the checkpoint's folder."""
        if Path(start).is_dir() and kind_of_artifacts(start) is not None:
            if self.base is not None:
                raise SettingsError(f"base={str(self.base)!r} is for a start that is an adapter; {start} is an export")
            return Artifacts.open(start)
        require_weights(start, "train")
        try:
            from xpert.trainers.export import OnnxExporter
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _TORCH:
                raise
            raise MissingDependencyError(
                f"{str(start)!r} is a model, and {error.name} is not installed here: export it where it is "
                f"(`xpert export --start {start} --out DIR`), and give that folder"
            ) from None
        settings = self.settings
        exporter = OnnxExporter(
            max_length=settings.max_length,
            rank=self.rank,
            alpha=self.alpha,
            target_modules=self.target_modules,
            clip=settings.clip,
            weight_decay=settings.weight_decay,
            base=self.base,
            seed=self.seed,
        )
        return Artifacts.open(exporter.export(start, folder / CHECKPOINT / _ARTIFACTS))

    def _fitting(self, artifacts: Artifacts) -> TrainSettings:
        """The settings with what the artifacts fix.

        Raises:
            xpert.errors.SettingsError: Something else was asked for.
        """
        fixed: dict[str, Any] = {
            "rank": artifacts.adapter["r"],
            "alpha": artifacts.adapter["lora_alpha"],
            "clip": artifacts.clip,
            "weight_decay": artifacts.weight_decay,
        }
        for name, value in fixed.items():
            asked = getattr(self, name)
            if asked is not None and asked != value:
                raise SettingsError(
                    f"{name}={asked!r}: {artifacts.folder} was exported with {value}: leave it out or export again"
                )
        longest = artifacts.max_length if self.max_length is None else self.max_length
        exported_here = artifacts.folder.parent.name == CHECKPOINT
        if longest > artifacts.max_length and not exported_here:
            raise SettingsError(
                f"max_length={longest}: {artifacts.folder} was exported for rows of {artifacts.max_length} tokens: "
                "leave it out, or export again with more"
            )
        values = {name: getattr(self.settings, name) for name in TrainSettings.__dataclass_fields__}
        return TrainSettings(**{**values, **fixed, "max_length": min(longest, artifacts.max_length)})

    def _prepare(
        self,
        artifacts: Artifacts,
        settings: TrainSettings,
        train: Sequence[Example],
        held: Sequence[Example],
        folder: Path,
        *,
        resume: bool,
    ) -> tuple[Run, str, TrainingSession, dict[str, Any]]:
        """The job, its fingerprint, the session behind it, and what the report tells about it."""
        data = _encoded(artifacts, train, held, settings)
        digest = data_digest(data.rows, data.held)
        identity = fingerprint({**asdict(settings), "start": artifacts.digest, "data": digest, "backend": "onnx"})
        kept = folder / CHECKPOINT / _RUN
        progress = find_checkpoint(kept, identity) if resume else None
        state = kept / STATE if progress else artifacts.folder / "checkpoint"
        session = TrainingSession(artifacts, state, threads=self.threads)
        learner = OnnxLearner(
            session=session,
            rows=data.rows,
            validation=sorted(data.held, key=lambda row: (len(row.ids), row.ids)),
            pad_id=data.pad_id,
            settings=settings,
            at_once=self.micro_batch or settings.batch_size,
        )
        n_bytes = (artifacts.folder / "checkpoint").stat().st_size + 12 * artifacts.n_trained

        def save(progress: Progress) -> None:
            save_checkpoint(kept, identity, progress, session, n_bytes)

        job = Run(
            name=folder.resolve().name,
            learner=learner,
            n_examples=len(data.rows),
            per_step=settings.batch_size * settings.accumulation,
            settings=settings,
            save=save,
            load=lambda: progress,
            checkpoint_every=self.checkpoint_every,
            callbacks=self.callbacks,
            counters=counters(),
            lengths=[len(row.ids) for row in data.rows] if settings.bucketing else None,
        )
        data.tell(settings.batch_size * settings.accumulation)
        details: dict[str, Any] = {
            "settings": json.loads(json.dumps(asdict(settings))),
            "device": "cpu",
            "runtime": f"onnxruntime {runtime().__version__}",
            **data.details(),
        }
        return job, identity, session, details


def _encoded(
    artifacts: Artifacts, train: Sequence[Example], held: Sequence[Example], settings: TrainSettings
) -> Encoded:
    """The examples as the model reads them."""
    longest, tokenizer = settings.max_length, artifacts.tokenizer
    options: dict[str, Any] = {"end_id": artifacts.end_id, "long": settings.long}
    return Encoded(
        rows=encode(tokenizer, train, longest, **options),
        held=encode(tokenizer, held, longest, **options) if held else [],
        examples=len(train),
        validation_examples=len(held),
        longest=longest,
        pad_id=artifacts.pad_id,
    )


def _rescued(learner: Learner, artifacts: Artifacts, folder: Path) -> str:
    """Write the adapter as it was when the loss was last finite, and tell where."""
    if not isinstance(learner, OnnxLearner) or not learner.last_good:
        return "no loss has been finite: the start itself gives it"
    with atomic_folder(folder / LAST_GOOD) as work:
        write_adapter(artifacts, learner.last_good, work)
    return f"the adapter with the last finite loss is in {folder / LAST_GOOD}"
