"""ONNX Runtime's training build, imported without torch, and what to do where it is missing or was overwritten.

``import onnxruntime`` of the training build imports torch and Transformers if they are there, for a class that is not used here:
2.4 s and 280 MB instead of 0.2 s and 43 MB. Its package ``onnxruntime.training`` is therefore stood in for while it is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from xpert.errors import MissingDependencyError

__all__ = ["MOST_RECENT_IR", "WHEELS", "runtime", "session_options", "training_build"]

WHEELS = "Python 3.8 to 3.12 on Linux x86-64"
"""Who can install onnxruntime-training-cpu 1.19.2 from PyPI."""
MOST_RECENT_IR = 10
"""The newest ONNX file format that onnxruntime 1.19 reads."""
_PACKAGE = "onnxruntime.training"
_QUIET = 3  # errors alone: 1.19 warns of every constant that it does not need
_MEND = "pip uninstall -y onnxruntime onnxruntime-training-cpu && pip install --force-reinstall onnxruntime-training-cpu==1.19.2"


def runtime() -> Any:
    """The module ``onnxruntime``, of either build.

    Raises:
        xpert.errors.MissingDependencyError: It is not installed.
    """
    with _without_torch():
        try:
            module = importlib.import_module("onnxruntime")
        except ModuleNotFoundError as error:
            raise _missing(error) from None
    module.set_default_logger_severity(_QUIET)
    return module


def training_build(part: str = "training.api") -> Any:
    """A module of the training build by its name in ``onnxruntime``; ``training.api`` trains, and needs nothing else.

    Raises:
        xpert.errors.MissingDependencyError: The training build is not installed, or plain onnxruntime lies over it.
    """
    module = runtime()
    with _without_torch():
        try:
            return importlib.import_module(f"onnxruntime.{part}")
        except ModuleNotFoundError as error:
            if error.name == "onnx":
                raise MissingDependencyError.of("onnx", "onnx", "exporting") from None
            raise _overwritten(module) from None
        except (ImportError, AttributeError):
            raise _overwritten(module) from None


def session_options(threads: int | None) -> Any:
    """Options of a session: so many threads (None: one a core), weights as they lie in their file, no warnings."""
    options = runtime().SessionOptions()
    options.log_severity_level = _QUIET
    if threads is not None:
        options.intra_op_num_threads = threads
    # Folding constants would keep a transposed copy of every weight; products with transposed weights cost the same.
    options.add_session_config_entry("optimization.disable_specified_optimizers", "ConstantFolding")
    return options


def _overwritten(module: Any) -> MissingDependencyError:
    version = getattr(module, "__version__", "of an unknown version")
    return MissingDependencyError(
        f"training needs the training build of ONNX Runtime; found onnxruntime {version} without it (both have one name, and "
        f"what was installed last overwrites the other): {_MEND}"
    )


def _missing(error: ModuleNotFoundError) -> MissingDependencyError:
    if (error.name or "").partition(".")[0] != "onnxruntime":
        return MissingDependencyError(
            f"ONNX Runtime needs {error.name}, which is not installed: pip install {error.name}"
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return MissingDependencyError(
        f"an exported model needs onnxruntime-training-cpu, which is not installed: pip install 'xpert[onnx]' "
        f"(there are wheels for {WHEELS}; this is Python {version} on {sys.platform})"
    )


@contextmanager
def _without_torch() -> Iterator[None]:
    """While ``onnxruntime`` is imported, an empty package in the place of ``onnxruntime.training``, which needs torch."""
    spec = None if _PACKAGE in sys.modules else importlib.util.find_spec("onnxruntime")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    if not roots:
        yield
        return
    stub = ModuleType(_PACKAGE)
    stub.__path__ = [f"{root}/training" for root in roots]
    modules: dict[str, Any] = sys.modules  # None: an import of this name fails
    blocked = f"{_PACKAGE}.ortmodule"
    modules[_PACKAGE], modules[blocked] = stub, None
    try:
        yield
    finally:
        for name in (_PACKAGE, blocked):
            modules.pop(name, None)
