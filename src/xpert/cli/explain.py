"""``xpert explain``: models in, a catalog out."""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from xpert.cli.options import CacheOption, DeviceOption, DtypeOption, NoCacheOption
from xpert.cli.output import Outcome, catalog_json, explanation_table
from xpert.errors import DataError, SettingsError

if TYPE_CHECKING:
    from xpert.catalog import Catalog
    from xpert.protocols import Modality
    from xpert.summarizers.instructions import Instruction

__all__ = ["FAINT", "explain", "faint_models"]


BaseOption: TypeAlias = Annotated[
    str | None, typer.Option("--base", metavar="REF", help="The base model that all models were made from.")
]
SummarizerOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--summarizer", metavar="REF", help="Who names the differences: hf:REF, encoder:REF or zoo:summarizer."
    ),
]
OutOption: TypeAlias = Annotated[
    Path, typer.Option("--out", metavar="CATALOG", help="The folder of the catalog: new, empty, or an older one.")
]
ModelOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--model", metavar="NAME=REF", help="A model to explain. Repeat it for each model.")
]
ModelsFromOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--models-from", metavar="DIR", help="A folder: each model and each .jsonl of answers in it is explained."
    ),
]
OldOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--catalog", metavar="OLD", help="A catalog to grow: its options and base answers hold; --out may be the same."
    ),
]
RemoveOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--remove", metavar="NAME", help="A model of --catalog that goes. Repeatable.")
]
PromptsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="FILE", help='The probe prompts: one a line, or JSON Lines with "prompt".'),
]
CountOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--n-prompts", min=1, help="How many prompts are drawn: 50, or all where a file is given."),
]
SubvectorsOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--subvectors",
        metavar="KIND",
        help="How words become sub-vectors: contrastive, prompt-tuned, described, captioned, painted:REF or unembedded.",
    ),
]
OrthOption: TypeAlias = Annotated[
    float | None, typer.Option("--eps-orth", help="The largest |cosine| between two word axes.")
]
DecOption: TypeAlias = Annotated[
    float | None, typer.Option("--eps-dec", help="The residual at which a model is explained.")
]
CenteringOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--centering", metavar="null|none", help="Whether the null embedding is subtracted."),
]
LengthOption: TypeAlias = Annotated[
    int | None, typer.Option("--max-new-tokens", help="The longest answer to a prompt: 128 tokens.")
]
TemperatureOption: TypeAlias = Annotated[
    float | None,
    typer.Option("--temperature", help="0, the default: greedy answers; above 0: sampled with the seed."),
]
InstructionOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--instruction",
        metavar="NAME|FILE",
        help="The aspect that is explained: language-style, domain, programming-language, tone, image-style, or your own JSON file. "
        "By default what the summarizer was trained on, else language-style.",
    ),
]
WordsOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--words",
        metavar="FILE|vlm:REF",
        help="The words that an encoder: summarizer chooses from, one a line; or who proposes them: a vision-language model.",
    ),
]
ModalityOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--modality", metavar="NAME", help="text, diffusion or a plugin's; told from the base if left out."),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An option of the modality, such as steps=20 or guidance_scale=5. Repeatable.",
    ),
]
SeedOption: TypeAlias = Annotated[int | None, typer.Option("--seed", help="The seed of everything that is drawn: 0.")]

FAINT = 0.85
"""Share of an embedding's squared length that is no sampling noise, by `_OF` prompts. Measured with ``zoo:summarizer``
(`benchmarks/sampled_probes`): 10 of 24 models of half a style had less by greedy answers, and the 3 whose users were lost were among them; by
sampled answers, and at nine tenths, all had 0.96 or more.
"""
_OF = 50


def explain(
    *,
    out: OutOption,
    base: BaseOption = None,
    summarizer: SummarizerOption = None,
    model: ModelOption = None,
    models_from: ModelsFromOption = None,
    catalog: OldOption = None,
    remove: RemoveOption = None,
    prompts: PromptsOption = None,
    n_prompts: CountOption = None,
    subvectors: SubvectorsOption = None,
    eps_orth: OrthOption = None,
    eps_dec: DecOption = None,
    centering: CenteringOption = None,
    max_new_tokens: LengthOption = None,
    temperature: TemperatureOption = None,
    seed: SeedOption = None,
    instruction: InstructionOption = None,
    words: WordsOption = None,
    modality: ModalityOption = None,
    settings: SetOption = None,
    cache: CacheOption = None,
    no_cache: NoCacheOption = False,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> Outcome:
    """Explain models of one base in words with numbers, and write them as a catalog; or add to one, or take from it.

    Base and models answer the same prompts; the summarizer, whose defaults apply, names what differs. What was finished before
    an interruption is not computed again.
    """
    from xpert.catalog import Catalog

    options = {"base": base, "summarizer": summarizer, "n_prompts": n_prompts, "seed": seed, "centering": centering}
    options |= {"subvectors": subvectors, "eps_orth": eps_orth, "eps_dec": eps_dec, "device": device, "dtype": dtype}
    proposer = words if words is not None and words.startswith("vlm:") else None
    file = None if words is None or proposer is not None else Path(words)
    given = _given(**options, cache=cache_folder(cache, no_cache), instruction=aspect(instruction, file, summarizer))
    given |= _given(modality=modality_with(modality, settings or [], base, grows=catalog is not None))
    decoding = _given(max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    if remove and catalog is None:
        raise SettingsError(f"--remove {remove[0]}: from which catalog? give --catalog OLD")
    models = named_models(model or [], models_from, may_be_none=catalog is not None)
    Catalog.check_target(out)
    old = None if catalog is None else Catalog.from_pretrained(catalog)
    with proposed_words(given, proposer, old) as given:
        if old is None:
            made = _explained(models, given, decoding, prompts)
        else:
            made = _grown(old, models, remove or [], given, decoding=decoding, prompts=prompts)
    made.save_pretrained(out)
    faint = [name for name in faint_models(made) if old is None or name in models]
    document = {**catalog_json(made), "faint": faint, "out": str(out)}
    return Outcome(
        document=document,
        view=lambda: [
            explanation_table(made),
            *_told_of_faint(faint, grows=old is not None),
            f"The catalog is in {out}.",
        ],
    )


def _told_of_faint(names: Sequence[str], *, grows: bool) -> list[str]:
    """What to do about models whose greedy answers hardly differ from the base's; nothing where there are none."""
    if not names:
        return []
    whose, words = ("its", "its words") if len(names) == 1 else ("their", "their words")
    anew = (
        "Explain all models anew, without --catalog, with --temperature 1: a catalog keeps one way to answer."
        if grows
        else "Run the same command again with --temperature 1."
    )
    return [
        f"{', '.join(names)}: {whose} greedy answers are almost the base's, so {words} above are largely noise. So it is where only a "
        f"part of the training texts had the style; sampled answers show both parts. {anew}"
    ]


def faint_models(catalog: Catalog) -> list[str]:
    """Models of generated, greedy answers whose place is largely sampling noise (`FAINT`)."""
    made = catalog.provenance
    if made.generation.temperature > 0 or made.base.startswith("answers:") or made.modality != "text":
        return []
    least = 1 / (1 + (1 / FAINT - 1) * _OF / made.n_prompts)  # noise falls with the number of prompts
    return [name for name in catalog.names if made.fits[name].reliability.get("all", 1.0) < least]


@contextmanager
def proposed_words(
    given: dict[str, Any], proposer: str | None, catalog: Catalog | None
) -> Generator[dict[str, Any], None, None]:
    """The options with an encoder whose words another model proposes, where there is one; closed afterwards.

    Raises:
        xpert.errors.SettingsError: The summarizer takes no proposer.
    """
    from xpert.summarizers import load_summarizer

    name = given.get("summarizer") or (None if catalog is None else catalog.provenance.summarizer)
    if proposer is None or name is None:
        yield given
        return
    asked = given.get("instruction") or (None if catalog is None else catalog.provenance.wording)
    device, dtype = given.get("device"), given.get("dtype")
    opened = load_summarizer(name, device=device, dtype=dtype, instruction=asked, proposer=proposer)
    try:
        yield {**given, "summarizer": opened, "instruction": None}
    finally:
        opened.close()


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _explained(
    models: dict[str, str], given: dict[str, Any], decoding: dict[str, Any], prompts: Path | None
) -> Catalog:
    from xpert.explainer import Explainer
    from xpert.types import Generation

    for name in ("base", "summarizer"):
        if name not in given:
            raise SettingsError(f"--{name}: expected a reference; only with --catalog it may be left out")
    if prompts is not None:
        given["prompts"] = drawn_prompts(prompts, given.get("n_prompts"), given.get("seed", 0))
    return Explainer(**given, generation=Generation(**decoding)).explain(models)


def _grown(
    catalog: Catalog,
    models: dict[str, str],
    remove: list[str],
    given: dict[str, Any],
    *,
    decoding: dict[str, Any],
    prompts: Path | None,
) -> Catalog:
    from xpert.explainer import Explainer

    if prompts is not None:
        given["prompts"] = drawn_prompts(prompts, given.get("n_prompts"), catalog.provenance.seed)
    given["generation"] = replace(catalog.provenance.generation, **decoding)
    return Explainer.for_catalog(catalog, **given).extend(catalog, models, remove)


def cache_folder(cache: Path | None, no_cache: bool) -> Path | None:
    """The cache's folder: the one given, else the user's, or none.

    Raises:
        xpert.errors.SettingsError: One was given and excluded.
    """
    from xpert.cache import default_folder

    if no_cache:
        if cache is not None:
            raise SettingsError("--cache and --no-cache exclude each other: give one")
        return None
    return default_folder() if cache is None else cache


def aspect(instruction: str | None, words: Path | None, summarizer: str | None) -> Instruction | None:
    """The instruction that is asked for by name or file, with the words of another file.

    Raises:
        xpert.errors.ReferenceNotFoundError: No such instruction.
        xpert.errors.SettingsError: A file cannot be read, or words for a summarizer that chooses its own.
    """
    from xpert.summarizers import usual_instruction
    from xpert.summarizers.aspects import find_instruction
    from xpert.summarizers.instructions import LANGUAGE_STYLE, load_words

    asked = None if instruction is None else find_instruction(instruction)
    if words is None:
        return asked
    if summarizer is not None and not summarizer.startswith("encoder:"):
        raise SettingsError(f"--words {words}: {summarizer} finds its words itself: leave it out, or take an encoder:")
    if asked is None:
        asked = LANGUAGE_STYLE if summarizer is None else usual_instruction(summarizer)
    return replace(asked, words=load_words(words), carriers=asked.carriers)


def modality_with(name: str | None, settings: list[str], base: str | None, *, grows: bool) -> str | Modality | None:
    """The modality that is asked for, with options ``NAME=VALUE`` (numbers as JSON writes them, else texts).

    Raises:
        xpert.errors.SettingsError: A text has no ``=``, or no such option; or options for a catalog, which has its own.
    """
    from xpert.modalities import load_modality, modality_of

    if not settings:
        return name
    if grows:
        raise SettingsError(f"--set {settings[0]}: a catalog grows by its own options: leave --set out")
    values: dict[str, Any] = {}
    for text in settings:
        option, sign, value = text.partition("=")
        if not option or not sign:
            raise SettingsError(f"--set {text!r}: expected NAME=VALUE, such as steps=20")
        try:
            values[option] = json.loads(value)
        except ValueError:
            values[option] = value
    if name is None and base is None:
        raise SettingsError("--base: expected a reference; only with --catalog it may be left out")
    return load_modality(name or modality_of(str(base)), values)


def named_models(pairs: list[str], folder: Path | None, *, may_be_none: bool = False) -> dict[str, str]:
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
    if not given and not may_be_none:
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
