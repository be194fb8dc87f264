"""An exported model held in memory: token rows in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xpert.artifacts.header import Kind, check_files, read_header
from xpert.artifacts.runtime import runtime, session_options
from xpert.artifacts.tokenizer import FastTokenizer
from xpert.errors import SummarizerError

__all__ = ["MODEL", "ExportedModel"]

MODEL = "model.onnx"


class ExportedModel:
    """A folder of ``xpert export --summarizer``, opened.

    Attributes:
        header: Its header.
        tokenizer: Its tokenizer.

    Raises:
        xpert.errors.IncompatibleModelError: It is of another kind or version, or its tokenizer is another one.
        xpert.errors.WeightsError: A file is missing or damaged.
        xpert.errors.MissingDependencyError: ONNX Runtime is not installed.
    """

    def __init__(self, folder: str | Path, kind: Kind, *, threads: int | None) -> None:
        self.folder = Path(folder)
        self.header: Mapping[str, Any] = read_header(folder, kind)
        check_files(self.folder, self.header)
        self.tokenizer = FastTokenizer(folder, self.header["tokenizer"])
        options = session_options(threads)
        self._session: Any = runtime().InferenceSession(str(self.folder / MODEL), options)

    def run(self, ids: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
        """The outputs for ``ids`` and ``mask``, both ``(B, T)`` int64.

        Raises:
            xpert.errors.SummarizerError: It is closed.
        """
        if self._session is None:
            raise SummarizerError(f"summarizer onnx:{self.folder} is closed: make a new one")
        return self._session.run(None, {"input_ids": ids, "attention_mask": mask})

    def close(self) -> None:
        """Free the weights; a second call does nothing."""
        self._session = None
