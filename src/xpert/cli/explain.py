"""``xpert explain``: models in, a catalog out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xpert.cli.options import DeviceOption, DtypeOption
from xpert.cli.output import Outcome, catalog_json, explanation_table
from xpert.errors import SettingsError

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
    n_prompts: Annotated[int, typer.Option(help="How many prompts are drawn where no file is given.")] = 50,
    subvectors: Annotated[
        str | None, typer.Option(metavar="KIND", help="How words become sub-vectors: contrastive or described.")
    ] = None,
    eps_orth: Annotated[float | None, typer.Option(help="The largest |cosine| between two word axes.")] = None,
    eps_dec: Annotated[
        float | None, typer.Option(help="The residual at which a model is explained well enough.")
    ] = None,
    centering: Annotated[
        str | None, typer.Option(metavar="null|none", help="Whether the null embedding is subtracted.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of everything that is drawn.")] = 0,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> Outcome:
    """Explain models of one base in words with numbers, and write them as a catalog.

    Base and models answer the same prompts; the summarizer names what differs. What is not given takes the summarizer's
    own default.
    """
    models = named_models(model or [], models_from)
    from xpert.catalog import Catalog
    from xpert.examples import load_prompts
    from xpert.explainer import Explainer

    Catalog.check_target(out)
    options: dict[str, Any] = {"centering": centering, "subvectors": subvectors, "device": device, "dtype": dtype}
    explainer = Explainer(
        base=base,
        summarizer=summarizer,
        prompts=None if prompts is None else load_prompts(prompts),
        n_prompts=n_prompts,
        seed=seed,
        eps_orth=eps_orth,
        eps_dec=eps_dec,
        **options,
    )
    catalog = explainer.explain(models)
    catalog.save_pretrained(out)
    return Outcome(
        document={**catalog_json(catalog), "out": str(out)},
        view=lambda: [explanation_table([catalog[name] for name in catalog]), f"The catalog is in {out}."],
    )


def named_models(pairs: list[str], folder: Path | None) -> dict[str, str]:
    """Name to reference from ``NAME=REF`` texts and a folder of models.

    Raises:
        xpert.errors.SettingsError: A text has no ``=``, a name occurs twice, or there is no model.

    >>> named_models(["tutor=models/tutor"], None)
    {'tutor': 'models/tutor'}
    """
    from xpert.references import models_from_dir

    given = [tuple(pair.split("=", 1)) for pair in pairs]
    for pair, parts in zip(pairs, given, strict=True):
        if len(parts) < 2 or not all(parts):
            raise SettingsError(f"--model {pair!r}: expected NAME=REF, such as tutor=path/to/adapter")
    if folder is not None:
        given += models_from_dir(folder).items()
    names = [name for name, _ in given]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SettingsError(f"the model name {twice[0]!r} occurs twice: give each model its own")
    if not given:
        raise SettingsError("no models: give --model NAME=REF for each, or --models-from DIR")
    return dict(given)
