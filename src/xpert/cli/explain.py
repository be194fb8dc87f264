"""``xpert explain``: models in, a catalog out."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpert.cli.options import DeviceOption, DtypeOption
from xpert.cli.output import Outcome, catalog_json, explanation_table
from xpert.errors import DataError, SettingsError

if TYPE_CHECKING:
    from xpert.summarizers.instructions import Instruction

__all__ = ["explain"]


def explain(
    *,
    base: Annotated[str, typer.Option(metavar="REF", help="The base model that all models were made from.")],
    summarizer: Annotated[
        str, typer.Option(metavar="REF", help="Who names the differences: hf:REF, encoder:REF or zoo:summarizer.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="CATALOG", help="The folder of the catalog: new, empty, or an older one.")
    ],
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME=REF", help="A model to explain. Repeat it for each model.")
    ] = None,
    models_from: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder: each model and each .jsonl of answers in it is explained."),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE", help='The probe prompts: one a line, or JSON Lines with "prompt".')
    ] = None,
    n_prompts: Annotated[
        int | None, typer.Option(min=1, help="How many prompts are drawn: 50, or all where a file is given.")
    ] = None,
    subvectors: Annotated[
        str | None, typer.Option(metavar="KIND", help="How words become sub-vectors: contrastive or described.")
    ] = None,
    eps_orth: Annotated[float | None, typer.Option(help="The largest |cosine| between two word axes.")] = None,
    eps_dec: Annotated[float | None, typer.Option(help="The residual at which a model is explained.")] = None,
    centering: Annotated[
        str | None, typer.Option(metavar="null|none", help="Whether the null embedding is subtracted.")
    ] = None,
    instruction: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="The aspect that is explained: language-style, domain, programming-language, tone, or your own JSON file. "
            "By default what the summarizer was trained on, else language-style.",
        ),
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The words that an encoder: summarizer chooses from, one a line."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="The longest answer to a prompt, in tokens.")] = 128,
    temperature: Annotated[float, typer.Option(help="0: greedy answers; above 0: sampled with the seed.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The seed of everything that is drawn.")] = 0,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> Outcome:
    """Explain models of one base in words with numbers, and write them as a catalog.

    Base and models answer the same prompts; the summarizer, whose defaults apply, names what differs.
    """
    models = named_models(model or [], models_from)
    from xpert.catalog import Catalog
    from xpert.explainer import Explainer
    from xpert.types import Generation

    Catalog.check_target(out)
    options: dict[str, Any] = {"centering": centering, "subvectors": subvectors, "device": device, "dtype": dtype}
    options |= {"eps_orth": eps_orth, "eps_dec": eps_dec, "n_prompts": n_prompts or 50, "seed": seed}
    explainer = Explainer(
        base=base,
        summarizer=summarizer,
        instruction=aspect(instruction, words, summarizer),
        prompts=None if prompts is None else drawn_prompts(prompts, n_prompts, seed),
        generation=Generation(max_new_tokens=max_new_tokens, temperature=temperature, seed=seed),
        **options,
    )
    catalog = explainer.explain(models)
    catalog.save_pretrained(out)
    document = {**catalog_json(catalog), "out": str(out)}
    return Outcome(document=document, view=lambda: [explanation_table(catalog), f"The catalog is in {out}."])


def aspect(instruction: str | None, words: Path | None, summarizer: str) -> Instruction | None:
    """The instruction that is asked for by name or file, with the words of another file.

    Raises:
        xpert.errors.ReferenceNotFoundError: No such instruction.
        xpert.errors.SettingsError: A file cannot be read, or words for a summarizer that chooses its own.
    """
    from xpert.summarizers.aspects import find_instruction
    from xpert.summarizers.instructions import LANGUAGE_STYLE, load_words

    asked = None if instruction is None else find_instruction(instruction)
    if words is None:
        return asked
    if not summarizer.startswith("encoder:"):
        raise SettingsError(f"--words {words}: {summarizer} finds its words itself: leave it out, or take an encoder:")
    asked = asked or LANGUAGE_STYLE
    return replace(asked, words=load_words(words), carriers=asked.carriers)


def named_models(pairs: list[str], folder: Path | None) -> dict[str, str]:
    """Name to reference from ``NAME=REF`` texts and a folder of models.

    Raises:
        xpert.errors.SettingsError: A text has no ``=``, a name occurs twice, or there is no model.

    >>> named_models(["tutor=models/tutor"], None)
    {'tutor': 'models/tutor'}
    """
    from xpert.references import models_from_dir

    given: list[tuple[str, str]] = []
    for pair in pairs:
        name, _, reference = pair.partition("=")
        if not name or not reference:
            raise SettingsError(f"--model {pair!r}: expected NAME=REF, such as tutor=path/to/adapter")
        given.append((name, reference))
    if folder is not None:
        given += models_from_dir(folder).items()
    names = [name for name, _ in given]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SettingsError(f"the model name {twice[0]!r} occurs twice: give each model its own")
    if not given:
        raise SettingsError("no models: give --model NAME=REF for each, or --models-from DIR")
    return dict(given)


def drawn_prompts(file: Path, n: int | None, seed: int) -> list[str]:
    """A seeded sample of ``n`` prompts of a file, in its order; None: all.

    Raises:
        xpert.errors.DataError: The file cannot be read, or has fewer.
    """
    from xpert.examples import load_prompts

    prompts = load_prompts(file)
    if n is None:
        return prompts
    if len(prompts) < n:
        raise DataError(f"{file}: expected at least {n} prompts, it has {len(prompts)}: add some, or lower --n-prompts")
    return [prompts[i] for i in sorted(random.Random(seed).sample(range(len(prompts)), n))]
