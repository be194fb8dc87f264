"""Contact sheets: pictures in named columns, as one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from xpert.errors import MissingDependencyError
from xpert.tensors.files import write_bytes

__all__ = ["contact_sheet"]

_GAP, _TOP = 2, 14


def contact_sheet(columns: Mapping[str, Sequence[Any]], file: str | Path, *, side: int = 64) -> Path:
    """Draw pictures in columns with a name on top of each, as a PNG that appears whole.

    Args:
        columns: Name to pictures of Pillow, top to bottom; columns may differ in length.
        file: Where; its folder is made.
        side: Side of the square that each picture is fitted into, in pixels; smaller pictures are not enlarged.

    Raises:
        xpert.errors.MissingDependencyError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ModuleNotFoundError:
        raise MissingDependencyError.of("Pillow", "diffusion", "a contact sheet") from None
    step, file = side + 2 * _GAP, Path(file)
    rows = max((len(images) for images in columns.values()), default=0)
    sheet = Image.new("RGB", (step * len(columns), _TOP + step * rows), "white")
    pen = ImageDraw.Draw(sheet)
    for column, (name, images) in enumerate(columns.items()):
        pen.text((column * step + _GAP, 1), name, fill="black")
        for row, image in enumerate(images):
            shown = image.copy()
            shown.thumbnail((side, side))
            sheet.paste(shown, (column * step + _GAP, _TOP + row * step + _GAP))
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = BytesIO()
    sheet.save(picture, format="PNG", optimize=True)
    return write_bytes(file, picture.getvalue())
