"""The evaluation's tables on real text: `xpert evaluate` on the trained models of ``run.py``, and on recorded ones.

    XPERT_REAL_TEXT=DATA python benchmarks/real_text/tables.py [--work out/real_text] [--out out/real_text/evaluation] [--preset tiny]

Trains the base and the models first, if ``run.py`` has not. Writes two pools, ``style_qa-trained.json`` (probed as in ``run.py``) and
``style_qa-recorded.json`` (the authors' answers), whose users are the lines 501-1000 of each style, and runs every experiment that such
data allow, by both summarizers. A second run goes on where the first was interrupted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs import XPERT, run_jobs
from run import SUMMARIZERS, Settings, plan, real_text, write_slices
from start import HELD_OUT_FROM
from users import styles

from xpert import XpertError, load_examples
from xpert.progress import say
from xpert.tensors.files import write_text

DEVICE: Mapping[str, object] = {
    "lr": 2e-3,
    "rank": 8,
    "alpha": 16,
    "target_modules": "all-linear",
    "max_length": 256,
}
"""How users are fine-tuned: the demo's adapters, at the models' learning rate, texts cut where theirs are."""
TRAINING = 3
"""Stages of the plan up to the trained models."""


def write_pools(data: Path, work: Path, settings: Settings) -> list[Path]:
    """The files that name base, models and users, trained and recorded; users have no prompt that models may be asked."""
    folder, names = work / "pools", styles(data)
    asked = list(dict.fromkeys(str(one.prompt) for one in load_examples(data / "default.jsonl")[:HELD_OUT_FROM]))
    write_rows(folder / "prompts.jsonl", [{"prompt": prompt} for prompt in asked])
    for style in names:
        own = [one for one in load_examples(data / f"{style}.jsonl")[HELD_OUT_FROM:] if one.prompt not in set(asked)]
        write_rows(folder / f"{style}.jsonl", [{"prompt": str(one.prompt), "response": one.response} for one in own])
    users = {style: f"{style}.jsonl" for style in names}
    how = {"temperature": settings.temperature, "max_new_tokens": settings.max_new_tokens}
    trained = {
        "base": str(work / "base"),
        "models": {style: str(work / "models" / style) for style in names},
        "users": users,
        "prompts": "prompts.jsonl",
        "generation": how,
        "training": dict(DEVICE),
    }
    recorded = {
        "base": f"answers:{data / 'default.jsonl'}",
        "models": {style: f"answers:{data / f'{style}.jsonl'}" for style in names},
        "users": users,
    }
    return [
        write_text(folder / f"style_qa-{name}.json", json.dumps(told, indent=1) + "\n")
        for name, told in (("trained", trained), ("recorded", recorded))
    ]


def evaluate(pool: Path, summarizer: str, out: Path, work: Path, preset: str) -> None:
    """Run what the pool allows; what is done is not done again.

    Raises:
        xpert.errors.XpertError: It failed.
    """
    values = {
        "--data": f"pool:{pool}",
        "--summarizer": summarizer,
        "--preset": preset,
        "--out": str(out),
        "--work": str(work),
    }
    say(f"{pool.stem}, {summarizer}")
    options = [word for pair in values.items() for word in pair]
    if code := subprocess.run([*XPERT, "evaluate", "all", *options], check=False).returncode:
        raise XpertError(f"xpert evaluate on {pool.stem} by {summarizer} failed with exit code {code}")


def arguments(description: str | None) -> argparse.Namespace:
    """``work``, ``out`` and ``preset`` as given on the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/real_text"), help="folder of models, answers and logs")
    parser.add_argument("--out", type=Path, default=None, help="folder of the results; default: evaluation in --work")
    parser.add_argument("--preset", default="tiny")
    return parser.parse_args()


def main() -> int:
    given = arguments(__doc__)
    work = given.work.resolve() / "full"
    out = (given.out or given.work / "evaluation").resolve()
    try:
        data = real_text().resolve()
        write_slices(data, work)
        for stage in plan(data, work, Settings())[:TRAINING]:
            own = [job for job in stage if job.name != "base-answers"]
            run_jobs(own, work)
        for pool in write_pools(data, work, Settings()):
            for summarizer in SUMMARIZERS.values():
                evaluate(pool, summarizer, out, work / "evaluation", given.preset)
    except XpertError as error:
        say(f"error: {error}")
        return 2
    return 0


def write_rows(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """JSON Lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
