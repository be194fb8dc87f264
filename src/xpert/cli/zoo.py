"""``xpert zoo``: the models that come with the package."""

from __future__ import annotations

from xpert.cli.output import Outcome, table

__all__ = ["zoo"]


def zoo() -> Outcome:
    """List the models that come with the package; each is named zoo:NAME wherever a model is asked for."""
    from xpert.references import describe
    from xpert.zoo import adapter_names, names, picture_adapter_names

    styles = {name: name for name in adapter_names()}
    styles |= {name: name.partition("@")[0] for name in names() if "@" in name}
    styles |= {name: name.removeprefix("pictures-") for name in picture_adapter_names()}
    models = []
    for name in names():
        info = describe(f"zoo:{name}")
        style = {"style": styles[name]} if name in styles else {}
        models.append({"name": name, "reference": f"zoo:{name}", "kind": info.kind, "bytes": info.bytes, **style})
    rows = [(model["reference"], model["kind"], f"{model['bytes']:,}", model.get("style", "")) for model in models]
    total = sum(model["bytes"] for model in models)
    return Outcome(
        document={"models": models, "bytes": total},
        view=lambda: [
            table(["reference", "kind", "#bytes", "style"], rows),
            f"{len(models)} models, {total / 1e6:.1f} MB in all.",
        ],
    )
