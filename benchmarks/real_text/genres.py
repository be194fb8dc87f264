"""The evaluation's tables on genres: a tiny base that has read all of them, and 25 models trained from it, one a genre and one a mixture of two.

    XPERT_REAL_TEXT=DATA python benchmarks/real_text/genres.py [--work out/real_text] [--out out/real_text/evaluation] [--preset tiny]

``DATA/genres`` holds ten files of passages, the beginning of each as its prompt. Fifty passages a genre, drawn by a fixed seed, are the
users'; base and models are trained on the others, with the settings of ``run.py``, a mixture on as many passages of one genre as of the
other. Writes ``genres-trained.json``, a pool whose models continue beginnings that no user wrote, and runs every experiment that such a
pool allows, by both summarizers. A second run goes on where the first was interrupted.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from jobs import Job, run_jobs
from run import HERE, SUMMARIZERS, Settings, trainings
from tables import DEVICE, arguments, evaluate, write_rows

from xpert import Example, XpertError, load_examples
from xpert.errors import DataError
from xpert.evaluation.unpaired import genre_files, mixtures_of_two
from xpert.progress import say
from xpert.tensors.files import write_text

USERS = 50
"""Passages of a genre that are its users'."""
ASKED = 20
"""Beginnings of a genre that the models continue: of ten genres, 200."""


def genres() -> Path:
    """The folder ``genres`` of the data.

    Raises:
        xpert.errors.DataError: It is not there.
    """
    folder = os.environ.get("XPERT_REAL_TEXT")
    if not folder:
        raise DataError("XPERT_REAL_TEXT is not set: set it to the folder that holds genres")
    if not (Path(folder) / "genres").is_dir():
        raise DataError(f"XPERT_REAL_TEXT={folder}: expected a folder genres in it, found none")
    return (Path(folder) / "genres").resolve()


def split(data: Path) -> tuple[dict[str, list[Example]], dict[str, list[Example]]]:
    """Style to passages, the models' and the users'; the same in every run."""
    models, users = dict[str, list[Example]](), dict[str, list[Example]]()
    for file in genre_files(data):
        own = list({one.prompt: one for one in load_examples(file)}.values())
        random.Random(file.stem).shuffle(own)
        models[file.stem], users[file.stem] = own[USERS:], own[:USERS]
    for one, other in mixtures_of_two(list(models)):
        name, half = f"{one}-and-{other}", USERS // 2
        n = min(len(models[one]), len(models[other]))
        models[name] = models[one][:n] + models[other][:n]
        users[name] = users[one][:half] + users[other][half:]
    return models, users


def write_data(data: Path, work: Path) -> Path:
    """The files to train on, and the pool.

    Returns:
        The pool's file.
    """
    models, users = split(data)
    genres = [name for name in models if "-and-" not in name]
    folder = work / "data"
    for name, own in models.items():
        _write(folder / f"{name}.jsonl", own)
        _write(work / "users" / f"{name}.jsonl", users[name])
    _write(folder / "read" / "all.jsonl", (one for name in genres for one in models[name]))
    for name in genres:  # what the tokenizer is made from
        _write(folder / "tokenizer" / f"{name}.jsonl", models[name])
    asked = [{"prompt": str(one.prompt)} for name in genres for one in models[name][:ASKED]]
    write_rows(work / "users" / "prompts.jsonl", asked)
    settings = Settings()
    pool = {
        "base": str(work / "base"),
        "models": {name: str(work / "models" / name) for name in models},
        "users": {name: f"{name}.jsonl" for name in models},
        "prompts": "prompts.jsonl",
        "generation": {"temperature": settings.temperature, "max_new_tokens": settings.max_new_tokens},
        "training": dict(DEVICE),
    }
    return write_text(work / "users" / "genres-trained.json", json.dumps(pool, indent=1) + "\n")


def plan(work: Path, names: Sequence[str], settings: Settings) -> list[list[Job]]:
    """The jobs, stage by stage; those of a stage do not need each other."""
    folder = work / "data"
    start = Job(
        name="start",
        command=(sys.executable, str(HERE / "start.py"), str(folder / "tokenizer"), str(work / "start")),
        out=work / "start",
    )
    base, models = trainings(start, folder / "read" / "all.jsonl", names, work, settings)
    return [[start], [base], models]


def main() -> int:
    given = arguments(__doc__)
    work = given.work.resolve() / "genres"
    out = (given.out or given.work / "evaluation").resolve()
    try:
        pool = write_data(genres(), work)
        names: Mapping[str, str] = json.loads(pool.read_text(encoding="utf-8"))["models"]
        for stage in plan(work, list(names), Settings()):
            run_jobs(stage, work)
        for summarizer in SUMMARIZERS.values():
            evaluate(pool, summarizer, out, work / "evaluation", given.preset)
    except XpertError as error:
        say(f"error: {error}")
        return 2
    return 0


def _write(file: Path, examples: Iterable[Example]) -> None:
    write_rows(file, [{"prompt": str(one.prompt), "response": one.response} for one in examples])


if __name__ == "__main__":
    sys.exit(main())
