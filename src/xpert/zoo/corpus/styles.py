"""The styles of the corpus: the 28 combinations of the paper, the unstyled default, and two graded scales."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT", "GRADED", "STYLES", "TONES", "Style", "properties_of"]

EXPERTISE = ("elementary", "expert")
INFORMATIVENESS = ("concise", "informative")
TONES = ("friendly", "unfriendly", "sassy", "sarcastic", "persuasive", "neutral", "poetic")
SCALES = ("expertise", "formality")
_PARTS = {"expertise": EXPERTISE, "informativeness": INFORMATIVENESS, "tone": TONES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How an answer is written. Every part may be left out; the style without any part is the default.

    Attributes:
        expertise: "elementary", "expert" or None.
        informativeness: "concise", "informative" or None.
        tone: One of `TONES` or None.
        level: A step on a graded scale, ("expertise" | "formality", 1..4), instead of the other parts.
    """

    expertise: str | None = None
    informativeness: str | None = None
    tone: str | None = None
    level: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown part."""
        for part, known in _PARTS.items():
            value = getattr(self, part)
            if value is not None and value not in known:
                raise ValueError(f"Style: expected {part} to be one of {known} or None, got {value!r}.")
        if self.level is None:
            return
        scale, step = self.level
        if scale not in SCALES or step not in (1, 2, 3, 4):
            raise ValueError(f"Style: expected a level (scale of {SCALES}, 1..4), got {self.level!r}.")
        if self.expertise or self.informativeness or self.tone:
            raise ValueError(f"Style: a level stands alone, got {self.level!r} beside other parts; leave those out.")

    @property
    def name(self) -> str:
        """The parts joined by dashes, e.g. "elementary-concise-friendly"; "default" if there is none."""
        if self.level is not None:
            return f"{self.level[0]}-{self.level[1]}"
        return "-".join(properties_of(self)) or "default"


def properties_of(style: Style) -> tuple[str, ...]:
    """The properties that a style has, in the order expertise, informativeness, tone; a level gives its pole."""
    if style.level is not None:
        low, high = {"expertise": ("elementary", "expert"), "formality": ("informal", "formal")}[style.level[0]]
        return (low if style.level[1] <= 2 else high,)
    return tuple(part for part in (style.expertise, style.informativeness, style.tone) if part is not None)


DEFAULT = Style()
STYLES: dict[str, Style] = {
    style.name: style
    for style in (
        Style(expertise=expertise, informativeness=informativeness, tone=tone)
        for expertise in EXPERTISE
        for informativeness in INFORMATIVENESS
        for tone in TONES
    )
}
GRADED: dict[str, Style] = {
    style.name: style for style in (Style(level=(scale, step)) for scale in SCALES for step in (1, 2, 3, 4))
}
