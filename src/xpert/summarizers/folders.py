"""What kind of model a folder holds, told from its small files; nothing is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["is_image_text_model"]


def is_image_text_model(folder: str | Path) -> bool:
    """Whether a folder's ``config.json`` is that of a model with one tower for texts and one for images, and no decoder.

    A sentence-transformers folder (``modules.json``) is none, and neither is a vision-language model, which generates.
    """
    folder = Path(folder)
    file = folder / "config.json"
    if (folder / "modules.json").is_file() or not file.is_file():
        return False
    try:
        config: Any = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    said = config if isinstance(config, dict) else {}
    names = " ".join(str(name) for name in said.get("architectures") or ())
    towers = "text_config" in said and "vision_config" in said
    return towers and "Conditional" not in names and "Causal" not in names
