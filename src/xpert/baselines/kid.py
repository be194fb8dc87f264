"""Kernel inception distance between the pool's training images and the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from xpert.baselines.comparing import Images, compared
from xpert.baselines.image_features import INCEPTION, FeaturesLike
from xpert.baselines.metrics import KID, check_torchmetrics, distance_of
from xpert.errors import SettingsError
from xpert.types import Array, Example, Selection

__all__ = ["KIDBaseline"]


@dataclass(frozen=True, slots=True)
class KIDBaseline:
    """Selects the model whose training images have the smallest KID to the user's; matches `xpert.protocols.SelectionMethod`.

    KID is the squared maximum mean discrepancy under a cubic kernel, estimated without bias: the figure to tell below 500 images.

    Attributes:
        pool: Model name to its training images (paths, data URIs or examples).
        features: ``inception``, ``encoder:REF``, an object with ``encode_images``, or a torch module.
        subsets: How many random subsets are averaged.
        subset_size: Images of each side in a subset. None: as many as the smallest side has, at most 1,000 and the same for all models.
        seed: Of the subsets.

    Source: Binkowski et al. 2018 (arXiv 1801.01401). Computed by torchmetrics.
    """

    pool: Mapping[str, Images]
    features: FeaturesLike = INCEPTION
    _: KW_ONLY
    subsets: int = 20
    subset_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check options.

        Raises:
            xpert.errors.SettingsError: One is out of range.
        """
        if self.subsets < 1 or (self.subset_size is not None and self.subset_size < 2):
            raise SettingsError(
                f"subsets and subset_size: expected 1 or more and 2 or more, got {self.subsets} and {self.subset_size}"
            )

    def select(
        self, examples: Sequence[Example], base_answers: Sequence[str] | Sequence[Example] | None = None
    ) -> Selection:
        """The model with the smallest KID; the ranking's distances are KIDs. It never says that nothing matches.

        Raises:
            xpert.errors.DataError: Fewer images on a side than a subset has (two at least), or one that cannot be read.
            xpert.errors.MissingDependencyError: torchmetrics is not installed, or torch-fidelity for ``inception``.
        """
        check_torchmetrics()
        least = self.subset_size or 2
        return compared(self.pool, self.features, examples, base_answers, score=self._scores, least=least)

    def _scores(self, theirs: list[Array], mine: Array) -> list[float]:
        size = self.subset_size or min(len(rows) for rows in (*theirs, mine))
        options = {"subsets": self.subsets, "subset_size": min(size, 1000)}
        return [distance_of(KID, rows, mine, seed=self.seed, **options) for rows in theirs]
