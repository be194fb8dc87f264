"""What the benchmark looks at: users' drawn pictures, and what base and models paint, each painted once and kept."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xpert.images import image_uri
from xpert.modalities.diffusion import DiffusionModality
from xpert.tensors.files import write_text
from xpert.types import Example, Generation
from xpert.zoo.pictures import STYLES, draw, scenes
from xpert.zoo.pictures.dataset import mixed_styles

MODALITY = DiffusionModality(steps=20, guidance_scale=3.0)
BASE = "zoo:pictures-base"
N_PROMPTS = 50
ANOTHER_SEED = 500
"""Seed of the base's second picture of a prompt: what is unstyled in a mixture is not the picture that it is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user: the style, pictures with captions, and what the base paints of these captions."""

    style: str
    examples: tuple[Example, ...]
    base: tuple[str, ...]


def prompts_of(seed: int) -> list[str]:
    """The probe captions of a draw."""
    return [scene.caption for scene in scenes("probes", N_PROMPTS, seed)]


def drawn_users(seed: int, *, per_style: int, n_pictures: int) -> list[tuple[str, list[Example]]]:
    """Users of every style with their drawn pictures; their captions occur nowhere else."""
    drawn: list[tuple[str, list[Example]]] = []
    for number, style in enumerate(STYLES):
        for k in range(per_style):
            own = 1_000 * (seed + 1) + 10 * number + k
            found = scenes("users", n_pictures, own)
            pictures = [image_uri(draw(scene, style, own * 1_000_003 + i)) for i, scene in enumerate(found)]
            drawn.append((style, [Example(prompt=s.caption, response=p) for s, p in zip(found, pictures, strict=True)]))
    return drawn


def users_of(seed: int, work: Path, *, per_style: int, n_pictures: int) -> list[User]:
    """The same, with what the base paints of their captions."""
    drawn = drawn_users(seed, per_style=per_style, n_pictures=n_pictures)
    prompts = list(dict.fromkeys(example.prompt or "" for _, examples in drawn for example in examples))
    painted = recorded(work / f"users-{seed}-{per_style}-{n_pictures}.jsonl", None, prompts, seed)
    return [
        User(style=style, examples=tuple(own), base=tuple(painted[e.prompt or ""] for e in own)) for style, own in drawn
    ]


def recorded(file: Path, reference: str | None, prompts: Sequence[str], seed: int) -> dict[str, str]:
    """Prompt to picture, painted once and kept in a file that ``answers:`` names."""
    if not file.is_file():
        with MODALITY.open(BASE) as prober:
            write_answers(file, prompts, prober.answer(reference, prompts, Generation(seed=seed)))
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {row["prompt"]: row["image"] for row in rows}


def write_answers(file: Path, prompts: Sequence[str], images: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"prompt": prompt, "image": image} for prompt, image in zip(prompts, images, strict=True)]
    write_text(file, "".join(json.dumps(row) + "\n" for row in rows))


def base_answers(seed: int, work: Path) -> str:
    file = work / f"{seed}-base.jsonl"
    recorded(file, None, prompts_of(seed), seed)
    return f"answers:{file}"


def trained_pool(seed: int, similarity: int, folder: Path, work: Path) -> dict[str, str]:
    """Style to recorded pictures of the adapter that was trained at this similarity."""
    pool = {}
    for style in STYLES:
        reference = f"zoo:pictures-{style}" if similarity == 100 else str(folder / f"models-{similarity}" / style)
        file = work / f"{seed}-trained-{similarity}-{style}.jsonl"
        recorded(file, reference, prompts_of(seed), seed)
        pool[style] = f"answers:{file}"
    return pool


def mixed_pool(seed: int, similarity: int, work: Path) -> dict[str, str]:
    """Style to recorded mixtures: s% of the pictures by the shipped adapter, the others by the base with other noise."""
    prompts, pool = prompts_of(seed), {}
    plain = recorded(work / f"{seed}-base-again.jsonl", None, prompts, seed + ANOTHER_SEED)
    trained_pool(seed, 100, Path(), work)
    for style in STYLES:
        styled = recorded(work / f"{seed}-trained-100-{style}.jsonl", None, prompts, seed)
        places = list(range(N_PROMPTS))
        random.Random(f"mixture {seed} {style} {similarity}").shuffle(places)
        chosen = set(places[: round(N_PROMPTS * similarity / 100)])
        file = work / f"{seed}-mixed-{similarity}-{style}.jsonl"
        write_answers(file, prompts, [(styled if i in chosen else plain)[p] for i, p in enumerate(prompts)])
        pool[style] = f"answers:{file}"
    return pool


def training_pictures(style: str, similarity: int, n: int) -> list[str]:
    """The first ``n`` pictures of the kind that the adapter of this similarity was trained on: what FID and KID compare."""
    percent = similarity
    kinds = mixed_styles(style, similarity / 100, n, percent)
    seed = 100 * percent + STYLES.index(style)
    found = scenes("models", n, seed, distinct=False)
    return [
        image_uri(draw(s, kind, seed * 1_000_003 + i)) for i, (s, kind) in enumerate(zip(found, kinds, strict=True))
    ]
