"""TorchTrainer: LoRA (through PEFT) or full fine-tuning with torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from xpert.artifacts.room import full_disk_told
from xpert.decoding import stop_ids_of
from xpert.energy import profile
from xpert.errors import NotFiniteError, SettingsError
from xpert.protocols import TrainingCallback
from xpert.references import kind_of, resolve
from xpert.tensors.files import atomic_folder
from xpert.tensors.lora_pipeline import is_pipeline_lora
from xpert.trainers.checkpoint import load_checkpoint, remove_leftovers, save_checkpoint
from xpert.trainers.data import Encoded, data_digest, encode, eval_batches
from xpert.trainers.hardware import counters_of, resolve_precision
from xpert.trainers.language import LanguageLearner
from xpert.trainers.last_good import LastGood
from xpert.trainers.loading import Loaded, load_start
from xpert.trainers.loop import Learner, Run, carry_out
from xpert.trainers.optimizer import make_optimizer
from xpert.trainers.order import share_out
from xpert.trainers.output import check_target, finished, model_card, report_of, write_result
from xpert.trainers.progress import CHECKPOINT, LAST_GOOD, fingerprint
from xpert.trainers.saving import write_start
from xpert.trainers.settings import DEFAULTS, RECIPES, Long, Method, Precision, Recipe, Schedule, TrainSettings
from xpert.types import Example, TrainingReport

__all__ = ["TorchTrainer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchTrainer:
    """Fine-tunes a causal language model on personal examples, on this machine.

    The object is the configuration; `fit` does the work, and two runs with one configuration agree bit for bit. Dropout is
    off. The loss is that of the responses only (examples without a prompt: of the whole text), in nats a token.

    Attributes:
        max_steps: Optimizer steps at most.
        target_loss: Stop as soon as the validation loss is at most this.
        recipe: ``paper-server`` or ``paper-device``: the paper's settings, where the fields below are None.
        method: ``lora`` (default) or ``full``.
        lr: Peak learning rate (2e-4).
        schedule: ``constant`` (default), ``cosine`` or ``linear``, both down to 0 at ``max_steps``.
        warmup: Steps of linear warm-up (0).
        weight_decay: AdamW's, on matrices (0).
        batch_size: Examples a forward pass (8; fewer if there are fewer).
        accumulation: Forward passes a step: the loss of a step is over all tokens of all of them.
        rank: ``r`` of a new adapter (16).
        alpha: ``lora_alpha`` of a new adapter (32).
        target_modules: Modules of a new adapter: names, ``all-linear``, or None for PEFT's choice for the architecture
            (``all-linear`` for those that PEFT does not know).
        clip: Largest norm of the gradient.
        max_length: Longest row in tokens (fewer where the model reads fewer).
        long: What happens to longer examples, which are told and counted in the report: ``truncate`` cuts them, ``split`` goes on in
            further rows that begin with a quarter row of context.
        bucketing: Let a step take examples of like length, so that less of it is padding; every epoch still sees each once.
        gradient_checkpointing: Compute activations again instead of keeping them: less memory, more time, the same result.
        eval_fraction: Share of the examples to validate with where no validation examples are given; 0: no validation.
        eval_every: Steps between evaluations; None: a twentieth of ``max_steps``.
        patience: ``(n, share)``: stop when the validation loss has not improved by this share in ``n`` evaluations.
        base: Base of a start adapter, where its ``adapter_config.json`` names none that is here.
        seed: Of split, order and a new adapter's initial values.
        device: ``cpu``, ``cuda`` ...; None: ``cuda`` if there is one, else ``cpu``.
        precision: ``float32``; ``bf16``: forward passes under bfloat16 autocast, parameters in float32; or ``auto``: bf16 where the
            device has instructions for it.
        checkpoint_every: Steps between checkpoints (in ``out/.checkpoint``, gone when the run is done).
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
    clip: float = 1.0
    max_length: int = 512
    long: Long = "truncate"
    bucketing: bool = False
    gradient_checkpointing: bool = False
    eval_fraction: float = 0.1
    eval_every: int | None = None
    patience: tuple[int, float] | None = None
    base: str | Path | None = None
    seed: int = 0
    device: str | None = None
    precision: Precision | Literal["auto"] = "float32"
    checkpoint_every: int = 100
    phone: str | None = None
    callbacks: Sequence[TrainingCallback] = ()

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            xpert.errors.SettingsError: One is out of range, or they contradict each other.
        """
        if self.recipe is not None and self.recipe not in RECIPES:
            raise SettingsError(f"recipe: expected one of {', '.join(RECIPES)}, got {self.recipe!r}")
        if self.checkpoint_every < 1:
            raise SettingsError(f"checkpoint_every: expected at least 1, got {self.checkpoint_every!r}")
        if self.phone is not None:
            profile(self.phone)
        if self.settings.method == "full" and (self.rank, self.alpha, self.target_modules) != (None, None, None):
            raise SettingsError("rank, alpha and target_modules are for method='lora', not for method='full'")

    @staticmethod
    def accepts(start: str | Path) -> bool:
        """Whether a start is a model of Transformers or a PEFT adapter of one; nothing is loaded."""
        kind = kind_of(start)
        return kind == "full" or (kind == "adapter" and not is_pipeline_lora(resolve(start)))

    @property
    def settings(self) -> TrainSettings:
        """Every choice, filled in from the recipe and the defaults."""
        chosen = {**DEFAULTS, **RECIPES.get(self.recipe or "", {})}
        chosen |= {name: getattr(self, name) for name in DEFAULTS if getattr(self, name) is not None}
        targets = self.target_modules
        names = set(TrainSettings.__dataclass_fields__) - set(DEFAULTS) - {"target_modules", "precision"}
        return TrainSettings(
            **chosen,
            **{name: getattr(self, name) for name in names},
            precision=resolve_precision(self.precision, self.device),
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
            start: A full model (a new LoRA adapter of it is trained, or all of it) or a LoRA adapter (which goes on).
            examples: What to learn.
            out: Folder of the result: an adapter or a model, its tokenizer, ``report.json`` and a card. It appears when the
                run is done; an earlier result there stays until then.
            validation: What to validate with; None: a seeded share of ``examples``.
            resume: Continue from the checkpoint in ``out`` if there is one; a run that is done is not repeated.

        Raises:
            xpert.errors.RecordedModelError: ``start`` has no weights.
            xpert.errors.IncompatibleModelError: A start adapter does not fit its base.
            xpert.errors.WeightsError: The start's weights cannot be read, or are not finite.
            xpert.errors.DataError: There is nothing to learn from.
            xpert.errors.SettingsError: ``out`` is a folder of something else; a stop rule without validation.
            xpert.errors.NotFiniteError: A loss or a gradient is not finite; the adapter with the last finite loss is in
                ``out/last-good``.
            xpert.errors.TrainingError: The checkpoint is another run's or damaged; the disk is full.
        """
        settings, folder = self.settings, check_target(out)
        train, held = share_out(examples, validation, settings)
        loaded = load_start(start, settings, base=self.base, device=self.device)
        with full_disk_told(folder):
            remove_leftovers(folder / CHECKPOINT)
            job, identity, details = self._prepare(loaded, train, held, folder)
            if resume and (done := finished(folder, identity)) is not None:
                return done
            try:
                progress, stopped = carry_out(job, resume=resume)
            except NotFiniteError as error:
                raise NotFiniteError(f"{error}; {_rescued(job.learner, loaded, folder)}") from error
            report = report_of(progress, stopped, loaded.trainable, folder, details, phone=self.phone)
            library = "peft" if loaded.method == "lora" else "transformers"
            card = model_card(report, method=loaded.method, base=loaded.base, library=library, unit="nats a token")
            write_result(lambda work: write_start(loaded, work), report, identity, folder, card)
        return report

    def _prepare(
        self, loaded: Loaded, train: Sequence[Example], held: Sequence[Example], folder: Path
    ) -> tuple[Run, str, dict[str, Any]]:
        """The job, its fingerprint, and what the report tells about it."""
        settings, model = self.settings, loaded.model
        data = _encoded(loaded, train, held, settings)
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        optimizer = make_optimizer(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
        identity = fingerprint(
            {
                **asdict(settings),
                "start": loaded.digest,
                "data": data_digest(data.rows, data.held),
                "method": loaded.method,
            }
        )
        learner = LanguageLearner(
            model=model,
            parameters=parameters,
            optimizer=optimizer,
            rows=data.rows,
            validation=eval_batches(data.held, data.pad_id),
            pad_id=data.pad_id,
            settings=settings,
            last_good=LastGood(parameters.values()) if loaded.method == "lora" else None,
        )
        device = next(model.parameters()).device
        job = Run(
            name=folder.resolve().name,
            learner=learner,
            n_examples=len(data.rows),
            per_step=settings.batch_size * settings.accumulation,
            settings=settings,
            save=lambda progress: save_checkpoint(folder / CHECKPOINT, identity, progress, parameters, optimizer),
            load=lambda: load_checkpoint(folder / CHECKPOINT, identity, parameters, optimizer),
            checkpoint_every=self.checkpoint_every,
            callbacks=self.callbacks,
            counters=counters_of(device),
            lengths=[len(row.ids) for row in data.rows] if settings.bucketing else None,
        )
        data.tell(settings.batch_size * settings.accumulation)
        details: dict[str, Any] = {
            "settings": json.loads(json.dumps(asdict(settings))),
            "device": str(device),
            **data.details(),
        }
        return job, identity, details


def _encoded(loaded: Loaded, train: Sequence[Example], held: Sequence[Example], settings: TrainSettings) -> Encoded:
    """The examples as the model reads them."""
    tokenizer, config = loaded.tokenizer, loaded.model.config
    longest = min(settings.max_length, getattr(config, "max_position_embeddings", None) or settings.max_length)
    end_id = tokenizer.eos_token_id
    if end_id is None:
        end_id = min(stop_ids_of(loaded.model, tokenizer), default=None)
    options: dict[str, Any] = {"end_id": end_id, "long": settings.long}
    return Encoded(
        rows=encode(tokenizer, train, longest, **options),
        held=encode(tokenizer, held, longest, **options) if held else [],
        examples=len(train),
        validation_examples=len(held),
        longest=longest,
        pad_id=next(i for i in (tokenizer.pad_token_id, end_id, 0) if i is not None),
    )


def _rescued(learner: Learner, loaded: Loaded, folder: Path) -> str:
    """Write the adapter as it was when the loss was last finite, and tell where."""
    if not isinstance(learner, LanguageLearner) or learner.last_good is None:
        return f"the last checkpoint, if there was one, is still in {folder / CHECKPOINT}"
    if not learner.last_good.put_back():
        return "no loss has been finite: the start itself gives it"
    with atomic_folder(folder / LAST_GOOD) as work:
        write_start(loaded, work)
    return f"the adapter with the last finite loss is in {folder / LAST_GOOD}: a start like any other"
