"""Real text, real models: train a tiny base and a model a style, explain them with both summarizers, select for users.

    XPERT_REAL_TEXT=DATA python benchmarks/real_text/run.py [--work out/real_text] [--quick]

Reads the authors' published data (``DATA/style_qa``), writes ``result.json`` beside this file. Every job is a process that runs
the real command line; a second run goes on where the first was interrupted. ``--quick`` trains a few steps only, to try the flow
out, and leaves ``result.json`` alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs import XPERT, Job, run_jobs, wall_clock
from start import HELD_OUT_FROM
from users import styles

from xpert import Catalog, XpertError, load_examples
from xpert.errors import DataError
from xpert.progress import say
from xpert.telling import kinds_told
from xpert.tensors.files import write_text
from xpert.trainers.hardware import has_fast_bf16

HERE = Path(__file__).resolve().parent
SUMMARIZERS = {"encoder": "encoder:minilm", "zoo": "zoo:summarizer"}
N_PROBES = 50
PACKAGES = ("torch", "transformers", "sentence-transformers", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How models are trained and asked; the values are the reported ones."""

    base_steps: int = 800
    style_steps: int = 120
    base_lr: float = 3e-3
    style_lr: float = 2e-3
    batch_size: int = 8
    max_length: int = 256
    max_new_tokens: int = 192
    temperature: float = 0.8

    def train(self, start: Path, data: Path, out: Path, *, steps: int, lr: float) -> tuple[str, ...]:
        """The command that trains all weights of ``start`` on ``data``."""
        values = {
            "--start": start,
            "--data": data,
            "--out": out,
            "--method": "full",
            "--max-steps": steps,
            "--lr": lr,
            "--schedule": "cosine",
            "--warmup": 20,
            "--weight-decay": 0.05,
            "--batch-size": self.batch_size,
            "--max-length": self.max_length,
            "--eval-fraction": 0,
            "--precision": "bf16" if has_fast_bf16() else "float32",
        }
        return (*XPERT, "train", *_options(values), "--resume", "--json")

    def generation(self) -> tuple[str, ...]:
        """How models answer."""
        return _options({"--max-new-tokens": self.max_new_tokens, "--temperature": self.temperature})


def real_text() -> Path:
    """The folder ``style_qa`` of the authors' published data.

    Raises:
        xpert.errors.DataError: It is not there.
    """
    folder = os.environ.get("XPERT_REAL_TEXT")
    if not folder:
        raise DataError(
            "XPERT_REAL_TEXT is not set: set it to the folder that holds the authors' published data (style_qa)"
        )
    if not (Path(folder) / "style_qa" / "default.jsonl").is_file():
        raise DataError(f"XPERT_REAL_TEXT={folder}: expected style_qa/default.jsonl in it, found none")
    return Path(folder) / "style_qa"


def write_slices(data: Path, work: Path) -> None:
    """The models' lines of every style, and the probe prompts: a seeded sample of the models' instructions."""
    for style in styles(data):
        _write_lines(work / "data" / f"{style}.jsonl", _lines(data / f"{style}.jsonl")[:HELD_OUT_FROM])
    prompts = [example.prompt or "" for example in load_examples(data / "default.jsonl")[:HELD_OUT_FROM]]
    probes = random.Random(0).sample(list(dict.fromkeys(prompts)), N_PROBES)
    _write_lines(work / "data" / "probes.jsonl", [json.dumps({"prompt": probe}) for probe in probes])


def plan(data: Path, work: Path, settings: Settings) -> list[list[Job]]:
    """The jobs, stage by stage; those of a stage do not need each other."""
    here, names = sys.executable, styles(data)
    start = Job(
        name="start", command=(here, str(HERE / "start.py"), str(data), str(work / "start")), out=work / "start"
    )
    base, models = trainings(start, data / "default.jsonl", names, work, settings)
    asked = _options({"--base": base.out, "--out": work / "base-answers.jsonl"}) + settings.generation()
    answers = Job(
        name="base-answers",
        command=(here, str(HERE / "users.py"), "answers", str(data), *asked),
        out=work / "base-answers.jsonl",
        after=(base,),
    )
    explained = [_explain(name, work, base, models, settings) for name in SUMMARIZERS]
    selected = [
        _select(name, data, work, answers, catalog) for name, catalog in zip(SUMMARIZERS, explained, strict=True)
    ]
    return [[start], [base], [answers, *models], explained, selected]


def trainings(start: Job, read: Path, names: Sequence[str], work: Path, settings: Settings) -> tuple[Job, list[Job]]:
    """The base, from random weights on one file, and from it a model of each name on ``data/NAME.jsonl`` of the folder."""
    learn = settings.train(start.out, read, work / "base", steps=settings.base_steps, lr=settings.base_lr)
    base = Job(name="base", command=learn, out=work / "base", after=(start,))
    models = [
        Job(
            name=name,
            command=settings.train(
                base.out,
                work / "data" / f"{name}.jsonl",
                work / "models" / name,
                steps=settings.style_steps,
                lr=settings.style_lr,
            ),
            out=work / "models" / name,
            after=(base,),
        )
        for name in names
    ]
    return base, models


def _explain(name: str, work: Path, base: Job, models: Sequence[Job], settings: Settings) -> Job:
    values = {
        "--base": base.out,
        "--summarizer": SUMMARIZERS[name],
        "--prompts": work / "data" / "probes.jsonl",
        "--out": work / f"catalog-{name}",
    }
    named = [word for model in models for word in ("--model", f"{model.name}={model.out}")]
    return Job(
        name=f"explain-{name}",
        command=(*XPERT, "explain", *_options(values), *settings.generation(), *named, "--json"),
        out=work / f"catalog-{name}",
        after=tuple(models),
    )


def _select(name: str, data: Path, work: Path, answers: Job, catalog: Job) -> Job:
    values = {"--catalog": catalog.out, "--base-answers": answers.out, "--out": work / f"selected-{name}.json"}
    return Job(
        name=f"select-{name}",
        command=(sys.executable, str(HERE / "users.py"), "select", str(data), *_options(values)),
        out=work / f"selected-{name}.json",
        after=(answers, catalog),
    )


def words_of(catalog: Catalog) -> dict[str, Any]:
    """Per model its strongest words, every measured quantity, and what the axes leave."""
    kinds = kinds_told(catalog.basis)
    told = {}
    for name in catalog:
        explanation = catalog[name]
        values = [(word, round(value, 3)) for word, value in explanation.words]
        told[name] = {
            "words": [list(pair) for pair in values if kinds[pair[0]] == "word"][:6],
            "measured": {word: value for word, value in values if kinds[word] == "measured"},
            "residual": round(explanation.residual, 3),
            "named_share": round(explanation.named_share, 3),
        }
    return told


def report(results: dict[str, dict[str, Any]], work: Path, settings: Settings, seconds: float) -> dict[str, Any]:
    """What `result.json` holds."""
    summarizers = {}
    for name, reference in SUMMARIZERS.items():
        explained = results[f"explain-{name}"]["output"]
        summarizers[reference] = {
            "selection": results[f"select-{name}"]["output"],
            "models": words_of(Catalog.from_pretrained(work / f"catalog-{name}")),
            "n_subvectors": explained["n_subvectors"],
            "n_candidates_examined": explained["n_candidates_examined"],
        }
    trained = [name for name, result in results.items() if "last_loss" in result["output"]]
    return {
        "summarizers": summarizers,
        "losses": {name: round(results[name]["output"]["last_loss"], 3) for name in trained},
        "base_answers_mean_words": results["base-answers"]["output"]["mean_words"],
        "parameters": results["start"]["output"]["parameters"],
        "settings": {name: getattr(settings, name) for name in Settings.__dataclass_fields__},
        "seconds": {name: result["seconds"] for name, result in results.items()},
        "seconds_in_all": round(seconds),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/real_text"), help="folder of models, catalogs and logs")
    parser.add_argument("--quick", action="store_true", help="few steps and short answers; result.json is left alone")
    given = parser.parse_args()
    settings = Settings(base_steps=30, style_steps=10, max_new_tokens=32) if given.quick else Settings()
    work = given.work.resolve() / ("quick" if given.quick else "full")
    seconds = 0.0
    try:
        data = real_text().resolve()
        write_slices(data, work)
        results: dict[str, dict[str, Any]] = {}
        for stage in plan(data, work, settings):
            done = run_jobs(stage, work)
            results |= done
            seconds += wall_clock(done)
    except XpertError as error:
        say(f"error: {error}")
        return 2
    told = report(results, work, settings, seconds)
    text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
    write_text((work if given.quick else HERE) / "result.json", text)
    print(json.dumps({name: value["selection"] for name, value in told["summarizers"].items()}, indent=1))
    return 0


def _options(values: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(str(word) for pair in values.items() for word in pair)


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def _write_lines(file: Path, lines: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, "\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
