"""The documents name what is there: a newcomer reads the product off the file list."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "xpert"
ROOMS = sorted(p.name for p in PACKAGE.glob("*.py")) + sorted(
    f"{p.parent.name}/" for p in PACKAGE.glob("*/__init__.py")
)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_in_the_architecture(room: str) -> None:
    rooms = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[3]
    assert re.search(rf"(?<![\w/]){re.escape(room)}", rooms)


def test_the_architecture_names_no_room_that_is_gone() -> None:
    rooms = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[3]
    named = set(re.findall(r"(?<![\w/])(?:[a-z_]+\.py|[a-z_]+/)(?!\w)", rooms)) - {"src/"}
    assert sorted(named - set(ROOMS)) == []


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda file: file.stem)
def test_every_decision_is_on_the_site(file: Path) -> None:
    assert f"adr/{file.name}" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


NAMES_A_MODALITY = {
    "__init__.py": "public names",
    "registry.py": "names to objects",
    "subvectors/painted.py": "the usual painter is a pipeline",
    "evaluation/demo_zoos.py": "which zoo the demo runs on",
    "evaluation/prompt_tuning.py": "an experiment of the paper, on texts",
    "evaluation/experiments/pool.py": "the paper's experiments, on texts",
}
"""Files outside the families where a modality may be named, and why; zoo and testing make models of one, and may."""


def _modality_names(file: Path) -> list[str]:
    """Where a file names a modality in code: its package, its class or its registered name. Extras of the package are no modality."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    extras = {
        id(argument)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "MissingDependencyError.of"
        for argument in call.args
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [
                m for m in modules if re.match(r"xpert\.(modalities|trainers)\.(text|diffusion)\b|diffusers\b", m)
            ]
        elif isinstance(node, ast.Constant) and node.value == "diffusion" and id(node) not in extras:
            found.append(f"line {node.lineno}: 'diffusion'")
        elif isinstance(node, ast.Call) and ast.unparse(node).startswith("MODALITIES.get('text')"):
            found.append(f"line {node.lineno}: 'text'")
    return found


def test_no_modality_is_named_outside_its_families() -> None:
    families = ("modalities", "summarizers", "trainers", "zoo", "testing")
    named = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        place = file.relative_to(PACKAGE)
        if place.parts[0] not in families and (found := _modality_names(file)):
            named[place.as_posix()] = found
    assert set(named) == set(NAMES_A_MODALITY), {k: v for k, v in named.items() if k not in NAMES_A_MODALITY}
