"""Every error of xpert. Each is also the builtin that a caller expects.

XpertError
├── DataError(ValueError)                personal or recorded data that cannot be read; names file and line
├── ReferenceNotFoundError(LookupError)  a reference that names nothing
├── RecordedModelError(TypeError)        a recorded model (``answers:``) was asked for weights
├── IncompatibleModelError(ValueError)   an adapter of another base, other shapes, other vocabulary
├── WeightsError(ValueError)             weights that are NaN, truncated or missing
├── SummarizerError(ValueError)          a summarizer that cannot do what is asked, or does not fit the catalog
├── SettingsError(ValueError)            options that contradict each other or are out of range
├── CatalogError(ValueError)             a catalog that cannot be opened
│   ├── CatalogVersionError              it was written by a newer xpert
│   └── CatalogCorruptError              a file is missing, or its size, header or hash is not as recorded
├── TrainingError(RuntimeError)          training cannot go on (checkpoint of another run or damaged, disk full)
│   └── NotFiniteError                   a loss or a gradient is not finite
├── WorkerError(RuntimeError)            a process that shared the work ended before it was done
└── MissingDependencyError(ImportError)  an extra that is not installed; the message says which

Messages say what was expected, what came, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "CatalogCorruptError",
    "CatalogError",
    "CatalogVersionError",
    "DataError",
    "IncompatibleModelError",
    "MissingDependencyError",
    "NotFiniteError",
    "RecordedModelError",
    "ReferenceNotFoundError",
    "SettingsError",
    "SummarizerError",
    "TrainingError",
    "WeightsError",
    "WorkerError",
    "XpertError",
    "did_you_mean",
]


class XpertError(Exception):
    """Root of all errors that xpert raises on purpose."""


class DataError(XpertError, ValueError):
    """Data that cannot be read: a missing or empty file, a broken line, a missing field, too few prompts."""


class ReferenceNotFoundError(XpertError, LookupError):
    """A reference (path, Hub id, ``zoo:`` or summarizer name) that names nothing."""


class RecordedModelError(XpertError, TypeError):
    """A recorded model has answers only: it cannot be merged or trained."""


class IncompatibleModelError(XpertError, ValueError):
    """Models that do not belong together: another base, other shapes, another vocabulary."""


class WeightsError(XpertError, ValueError):
    """Weights that cannot be used: NaN or infinite values, truncated files, missing tensors."""


class SummarizerError(XpertError, ValueError):
    """A summarizer that cannot do what is asked, or whose width is not the catalog's."""


class SettingsError(XpertError, ValueError):
    """Options that contradict each other or are out of range."""


class CatalogError(XpertError, ValueError):
    """A catalog that cannot be opened or written."""


class CatalogVersionError(CatalogError):
    """A catalog of a newer format than this version of xpert reads."""


class CatalogCorruptError(CatalogError):
    """A catalog whose files are missing, truncated or changed."""


class TrainingError(XpertError, RuntimeError):
    """Training cannot go on."""


class NotFiniteError(TrainingError):
    """A loss or a gradient is not finite."""


class MissingDependencyError(XpertError, ImportError):
    """A feature needs an extra that is not installed."""

    @classmethod
    def of(cls, package: str, extra: str, feature: str) -> MissingDependencyError:
        """The error for ``package``, which the extra ``extra`` brings and ``feature`` needs."""
        return cls(f"{feature} needs {package}, which is not installed: pip install 'xpert[{extra}]'")


class WorkerError(XpertError, RuntimeError):
    """A process that shared the work was ended from outside."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What a message about an unknown name adds: the nearest known one in brackets; nothing where none is near.

    >>> did_you_mean("tutr", ["poet", "tutor"]), did_you_mean("abacus", ["poet"])
    (" (did you mean 'tutor'?)", '')
    """
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
