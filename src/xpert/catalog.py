"""Catalog: what a server publishes: the basis, a coordinate row per model, and where all of it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xpert.basis import SubvectorBasis
from xpert.catalog_card import card_text
from xpert.catalog_codec import (
    answers_from,
    axes_from,
    from_json,
    from_tensors,
    models_from,
    rule_from,
    to_json,
    to_jsonl,
    to_tensors,
)
from xpert.catalog_files import (
    HEADER,
    check_target,
    open_folder,
    problems,
    read_checked,
    write_folder,
)
from xpert.catalog_hub import download, upload
from xpert.catalog_pairs import PAIRS, PairRows
from xpert.errors import CatalogCorruptError, CatalogError, ReferenceNotFoundError, did_you_mean
from xpert.provenance import Provenance
from xpert.telling import by_axis, told
from xpert.types import Array, Example, Explanation, ModelCard

__all__ = ["Catalog"]

EMBEDDINGS = "embeddings.safetensors"
REFERENCE = "reference.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Catalog:
    """Models explained in one common basis.

    A mapping from names to explanations: ``catalog["tutor"].words``, ``len``, ``in``, iteration over names.

    Attributes:
        basis: The ``K`` axes.
        models: One card a model, in the order of the rows.
        coordinates: ``(M, K)`` float32 coefficients.
        stderr: ``(M, K)`` float32 standard errors over the probe pairs.
        provenance: The header.
        base_answers: The base's answers to the probe prompts, for devices whose data has no prompts.
        embeddings: ``(M, D)`` centred embeddings; None on a device, which does without.
        pairs: ``(M, P, D)`` centred rows of the probe pairs, on disk, the measured block unscaled: what a catalog grows by
            (`Explainer.extend`). None on a device, and in catalogs of older versions.
        reference: ``(P, D)`` rows of each base answer beside its opposite one, as ``pairs`` are: what an unpaired reference adds
            (`xpert.matching`). None as ``pairs`` are.
    """

    basis: SubvectorBasis
    models: tuple[ModelCard, ...]
    coordinates: Array
    stderr: Array
    provenance: Provenance
    base_answers: tuple[Example, ...]
    embeddings: Array | None = None
    pairs: PairRows | None = None
    reference: Array | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, in the order of the rows."""
        return tuple(card.name for card in self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Explanation:
        """The explanation of a model.

        Raises:
            xpert.errors.ReferenceNotFoundError: The catalog has no model of this name.
        """
        fit, row = self.provenance.fits[self.card(name).name], self.names.index(name)
        words = told(self.basis, self.coordinates[row], self.models[row].candidates)
        return Explanation(
            name=name,
            words=by_axis(words),
            stderr=tuple(float(self.stderr[row, i]) for i, _, _ in words),
            residual=fit.residual,
            named_share=fit.named_share,
            measured_share=fit.measured_share,
            unnamed_share=fit.unnamed_share,
            converged=fit.converged,
        )

    def card(self, name: str) -> ModelCard:
        """The card of a model.

        Raises:
            xpert.errors.ReferenceNotFoundError: The catalog has no model of this name.
        """
        if name not in self.names:
            raise ReferenceNotFoundError(
                f"no model {name!r} in the catalog{did_you_mean(name, self.names)}: it has {', '.join(self.names)}"
            )
        return self.models[self.names.index(name)]

    def save_pretrained(self, folder: str | Path, *, server_files: bool = True) -> Path:
        """Write the catalog as a folder, which appears whole or not at all; an older catalog there is replaced at the end.

        Args:
            folder: Where.
            server_files: Whether `xpert.catalog_files.SERVER_FILES` are written too, which devices do without.

        Raises:
            xpert.errors.CatalogError: The folder holds something else.
        """
        contents: dict[str, bytes | Iterable[bytes]] = {
            HEADER: to_json(self.provenance.to_json()),
            "basis.safetensors": to_tensors(vectors=self.basis.vectors, null=self.basis.null),
            "words.json": to_json([asdict(axis) for axis in self.basis.axes]),
            "coordinates.safetensors": to_tensors(coordinates=self.coordinates, stderr=self.stderr),
            "models.jsonl": to_jsonl(asdict(card) for card in self.models),
            "base_answers.jsonl": to_jsonl(
                {"prompt": answer.prompt, "response": answer.response} for answer in self.base_answers
            ),
            "README.md": card_text(self.provenance, [self[name] for name in self], self.models, self.basis).encode(),
        }
        if server_files and self.embeddings is not None:
            contents[EMBEDDINGS] = to_tensors(embeddings=self.embeddings)
        if server_files and self.pairs is not None:
            contents[PAIRS] = self.pairs.chunks()
        if server_files and self.reference is not None:
            contents[REFERENCE] = to_tensors(reference=self.reference)
        return write_folder(folder, contents)

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None) -> Catalog:
        """Read a catalog from a folder, or from the Hub (``org/name``; without the server's files).

        Sizes and header are checked on opening, every file's hash as it is read (that of ``pairs.safetensors`` when a row is
        first asked for); `problems` checks all.

        Raises:
            xpert.errors.ReferenceNotFoundError: No catalog is there.
            xpert.errors.CatalogVersionError: A newer version of xpert wrote it.
            xpert.errors.CatalogCorruptError: A file is missing, truncated or changed.
            xpert.errors.CatalogError: A file has an unknown key or a value of the wrong type.
        """
        folder = Path(source)
        if not folder.is_dir():
            folder = download(str(source), revision=revision)
        hashes = open_folder(folder)

        def read(name: str) -> tuple[bytes, str]:
            return read_checked(folder, name, hashes), str(folder / name)

        def parsed(name: str) -> tuple[Any, str]:
            data, where = read(name)
            return from_json(data, where), where

        provenance = Provenance.from_json(*parsed(HEADER))
        axes = axes_from(*parsed("words.json"))
        models = models_from(*read("models.jsonl"))
        m, k, d = len(models), len(axes), provenance.width + len(provenance.measured)
        if set(provenance.fits) != {card.name for card in models} or len(provenance.fits) != m:
            raise CatalogCorruptError(f"{folder / 'models.jsonl'}: its models are not those of {HEADER}")
        vectors = from_tensors(*read("basis.safetensors"), {"vectors": (k, d), "null": (d,)})
        places = from_tensors(*read("coordinates.safetensors"), {"coordinates": (m, k), "stderr": (m, k)})
        embeddings = None
        if (folder / EMBEDDINGS).is_file() and EMBEDDINGS in hashes:
            embeddings = from_tensors(*read(EMBEDDINGS), {"embeddings": (m, d)})["embeddings"]
        reference = None
        if (folder / REFERENCE).is_file() and REFERENCE in hashes:
            shape = (provenance.n_prompts, d)
            reference = from_tensors(*read(REFERENCE), {"reference": shape})["reference"]
        pairs = None
        if (folder / PAIRS).is_file() and PAIRS in hashes:
            pairs = PairRows.open(folder / PAIRS, (m, provenance.n_prompts, d), hashes[PAIRS][0])
        basis = SubvectorBasis(
            axes=axes,
            vectors=vectors["vectors"],
            null=vectors["null"],
            coefficients=rule_from(provenance.coefficients, str(folder / HEADER)),
        )
        return cls(
            basis=basis,
            models=models,
            coordinates=places["coordinates"],
            stderr=places["stderr"],
            provenance=provenance,
            base_answers=answers_from(*read("base_answers.jsonl")),
            embeddings=embeddings,
            pairs=pairs,
            reference=reference,
        )

    @staticmethod
    def check_target(folder: str | Path) -> None:
        """Whether a catalog may be written there, asked before the work is done.

        Raises:
            xpert.errors.CatalogError: It holds something that is not a catalog.
        """
        check_target(folder)

    @staticmethod
    def problems(folder: str | Path) -> list[str]:
        """Everything that is wrong with a catalog folder, one line each: all files hashed, then opened."""
        found = problems(folder)
        if not found:
            try:
                Catalog.from_pretrained(folder)
            except CatalogError as error:
                found = [str(error)]
        return found

    @staticmethod
    def verify(folder: str | Path) -> None:
        """Check a catalog folder wholly.

        Raises:
            xpert.errors.CatalogCorruptError: Something is wrong; the message says what.
        """
        if found := Catalog.problems(folder):
            raise CatalogCorruptError("; ".join(found))

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, token: str | None = None, server_files: bool = False
    ) -> str:
        """Upload the catalog to the Hub as a model repository, its card included; returns the commit's address.

        The server's files (`save_pretrained`) stay here unless ``server_files`` is set: devices do without, and they hold a row
        for each single answer.
        """
        with TemporaryDirectory() as folder:
            saved = self.save_pretrained(folder, server_files=server_files)
            return upload(repo_id, saved, private=private, token=token)
