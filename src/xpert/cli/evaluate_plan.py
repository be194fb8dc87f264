"""``xpert evaluate --preset paper --dry-run``: models, data, bytes and GPU hours; nothing is loaded or reached for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xpert.cli.output import Outcome, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xpert.evaluation.presets import Preset
    from xpert.evaluation.setting import Setting

__all__ = ["plan"]

_FORMULA = (
    "Operations: 2 a parameter and token to generate and to read, 4 to train an adapter; hours at an assumed {training:.0e} a second to train, "
    "{generating:.0e} to generate, {reading:.0e} to read (one H100; not measured). Rows and bytes of data are rough."
)


def plan(size: Preset, setting: Setting) -> Outcome:
    """What a run would take.

    Raises:
        xpert.errors.DataError: A folder of data that cannot be read.
    """
    from xpert.evaluation.paper.plan import RATES, gpu_hours, work_of

    pools = size.pools
    assert pools is not None
    styles, data = _data(size, setting)
    works = [
        work_of(
            pools,
            base=base,
            summarizer=setting.summarizer,
            styles=styles,
            similarities=len(size.similarities),
            users=styles * size.users_a_style,
            styled_texts=size.styled_texts,
        )
        for base in pools.bases
    ]
    known = [work for work in works if work is not None]
    models = [_model(reference) for reference in (*pools.bases, setting.summarizer)]
    document = {
        "preset": size.name,
        "experiments": ["table-5"],
        "data": data,
        "styles": styles,
        "models": models,
        "bytes": sum(one["bytes"] or 0 for one in [*models, *data]),
        "work": [{**asdict(work), "gpu_hours": work.gpu_hours} for work in known],
        "gpu_hours": size.draws * gpu_hours(known) if len(known) == len(works) else None,
        "formula": _FORMULA.format(**RATES),
    }
    return Outcome(document=document, view=lambda: _view(document, size))


def _data(size: Preset, setting: Setting) -> tuple[int, list[dict[str, Any]]]:
    """Styles, and the data sets with what is downloaded of them; parts of one repository are read in one pass."""
    from xpert.evaluation.paper.draws import n_needed
    from xpert.evaluation.paper.hub import hub_data
    from xpert.evaluation.unpaired import mixtures_of_two

    if (names := setting.hub) is None:
        source = setting.source()
        return len(source.styles), [
            {"name": setting.data_name, "repository": None, "rows": None, "bytes": 0, "note": ""}
        ]
    assert size.pools is not None
    needed = n_needed(len(names), n_training=size.pools.training, users_a_style=size.users_a_style)
    found: list[dict[str, Any]] = []
    for one in map(hub_data, names):
        again = any(other["repository"] == one.repository for other in found)
        bytes_ = 0 if again else one.planned_bytes(needed)
        found.append(
            {"name": one.name, "repository": one.repository, "rows": needed, "bytes": bytes_, "note": one.note}
        )
    return len(names) + len(mixtures_of_two(names)), found


def _model(reference: str) -> dict[str, Any]:
    from xpert.evaluation.paper.models import MODELS

    shape = MODELS.get(reference.removeprefix("hf:"))
    known = None if shape is None else shape.parameters
    return {"reference": reference, "parameters": known, "bytes": None if shape is None else shape.bytes}


def _view(document: Mapping[str, Any], size: Preset) -> list[RenderableType]:
    models = [
        (m["reference"], _told(m["parameters"], 1e9, "B"), _told(m["bytes"], 1e9, "GB")) for m in document["models"]
    ]
    data = [
        (d["name"], d["repository"] or "here", d["rows"] or "", _told(d["bytes"], 1e9, "GB"), d["note"])
        for d in document["data"]
    ]
    work = [
        (w["base"], *(f"{w[kind]:.1e}" for kind in ("training", "generating", "reading")), f"{w['gpu_hours']:.1f}")
        for w in document["work"]
    ]
    n: Sequence[int] = size.similarities
    total = "unknown: no shape of a model" if document["gpu_hours"] is None else f"{document['gpu_hours']:.1f}"
    return [
        table(["model", "parameters", "download"], models),
        table(["data", "from", "rows", "download", ""], data),
        table(["base", "operations: training", "generating", "reading", "GPU hours"], work),
        f"{document['styles']} styles at s = {', '.join(map(str, n))}. Download in all: about {document['bytes'] / 1e9:.1f} GB. GPU hours in all: {total}.\n",
        document["formula"],
    ]


def _told(number: float | None, unit: float, name: str) -> str:
    return "unknown" if number is None else f"{number / unit:.2f} {name}"
