"""``import xpert`` is light, and every public name is where it says."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import xpert

HEAVY = ("torch", "transformers", "peft", "diffusers", "onnxruntime", "sentence_transformers", "scipy", "rich", "typer")
LIMIT_S = 0.3
MEASURE = """
import json, sys, time
start = time.perf_counter()
import xpert
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules)}))
"""


def _fresh(code: str) -> dict[str, object]:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_loads_nothing_heavy() -> None:
    modules = _fresh(MEASURE)["modules"]
    assert isinstance(modules, list)
    assert "xpert" in modules
    assert [name for name in HEAVY if name in modules] == []


def test_import_takes_less_than_three_tenths_of_a_second() -> None:
    assert min(float(str(_fresh(MEASURE)["seconds"])) for _ in range(5)) < LIMIT_S


@pytest.mark.parametrize(
    "module",
    ["xpert.types", "xpert.errors", "xpert.protocols", "xpert.registry", "xpert.testing", "xpert.space", "xpert.cli"],
)
def test_what_a_device_or_a_third_party_imports_loads_no_torch(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps({{'modules': [m for m in {HEAVY[:6]} if m in sys.modules]}}))"
    assert _fresh(code)["modules"] == []


@pytest.mark.parametrize("name", xpert.__all__)
def test_every_public_name_is_importable(name: str) -> None:
    value = getattr(xpert, name)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__doc__


def test_public_names_are_sorted_and_listed_by_dir() -> None:
    assert list(xpert.__all__) == sorted(xpert.__all__)
    assert len(set(xpert.__all__)) == len(xpert.__all__)
    assert dir(xpert) == xpert.__all__


def test_every_lazy_name_is_public_and_the_other_way_round() -> None:
    assert {*xpert._MODULE_OF, "__version__"} == set(xpert.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    misspelt = "Explaner"
    with pytest.raises(AttributeError, match="module 'xpert' has no attribute 'Explaner'"):
        getattr(xpert, misspelt)


def test_the_type_checker_sees_the_same_names() -> None:
    block = inspect.getsource(xpert).split("if TYPE_CHECKING:")[1].split("__version__")[0]
    for module, names in xpert._HOME.items():
        assert f"from {module} import" in block
        assert all(name in block for name in names)
