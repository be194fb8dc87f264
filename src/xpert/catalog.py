"""Catalog: what a server publishes: the basis, a coordinate row per model, and where all of it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

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
from xpert.catalog_pool import DTYPES, LazyModels, open_pool, pool_files
from xpert.errors import CatalogCorruptError, CatalogError, ReferenceNotFoundError, SettingsError, did_you_mean
from xpert.pool import PackedRows
from xpert.provenance import PLAIN, POOL, Provenance
from xpert.telling import by_axis, told
from xpert.types import Array, Example, Explanation, ModelCard

__all__ = ["Catalog"]

MANY = 10_000
"""From so many models on a catalog is written as a pool."""
MOST_TOLD = 200
"""At most so many models stand in the card."""
EMBEDDINGS = "embeddings.safetensors"
REFERENCE = "reference.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Catalog:
    """Models explained in one common basis.

    A mapping from names to explanations: ``catalog["tutor"].words``, ``len``, ``in``, iteration over names.

    Attributes:
        basis: The ``K`` axes.
        models: One card a model, in the order of the rows; of a pool, parsed as they are asked for.
        coordinates: ``(M, K)`` float32 coefficients; of a pool, read as they are asked for.
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
    models: Sequence[ModelCard]
    coordinates: Array | PackedRows
    stderr: Array | PackedRows
    provenance: Provenance
    base_answers: tuple[Example, ...]
    embeddings: Array | None = None
    pairs: PairRows | None = None
    reference: Array | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, in the order of the rows: of a pool, all its lines are parsed."""
        return tuple(card.name for card in self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        try:
            return self.row(str(name)) >= 0
        except ReferenceNotFoundError:
            return False

    def __getitem__(self, name: str) -> Explanation:
        """The explanation of a model.

        Raises:
            xpert.errors.ReferenceNotFoundError: The catalog has no model of this name.
        """
        return self._explanation(self.row(name))

    def _explanation(self, row: int) -> Explanation:
        name = self.models[row].name
        fit, errors = self.provenance.fits[name], self.stderr[row]
        words = told(self.basis, self.coordinates[row], self.models[row].candidates)
        return Explanation(
            name=name,
            words=by_axis(words),
            stderr=tuple(float(errors[i]) for i, _, _ in words),
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
        return self.models[self.row(name)]

    def row(self, name: str) -> int:
        """The row of a model.

        Raises:
            xpert.errors.ReferenceNotFoundError: The catalog has no model of this name.
        """
        if isinstance(self.models, LazyModels):
            return self.models.find(name)
        if name not in self.names:
            raise ReferenceNotFoundError(
                f"no model {name!r} in the catalog{did_you_mean(name, self.names)}: it has {', '.join(self.names)}"
            )
        return self.names.index(name)

    def save_pretrained(self, folder: str | Path, *, server_files: bool = True, pool: str | None = None) -> Path:
        """Write the catalog as a folder, which appears whole or not at all; an older catalog there is replaced at the end.

        Args:
            folder: Where.
            server_files: Whether `xpert.catalog_files.SERVER_FILES` are written too, which devices do without.
            pool: ``float32``, ``float16`` or ``int8``: written as a pool (format version 2), which is opened without reading it,
                with coordinates of this type. None: as it is; from 10,000 models on a pool in float32.

        Raises:
            xpert.errors.CatalogError: The folder holds something else.
            xpert.errors.SettingsError: ``pool`` is unknown.
        """
        if pool is None and (isinstance(self.coordinates, PackedRows) or len(self) >= MANY):
            pool = str(self.coordinates.stored.dtype) if isinstance(self.coordinates, PackedRows) else "float32"
        if pool not in (None, *DTYPES):
            raise SettingsError(f"pool: expected one of {', '.join(DTYPES)}, got {pool!r}")
        header = replace(self.provenance, format_version=PLAIN if pool is None else POOL)
        contents: dict[str, bytes | Iterable[bytes]] = {
            HEADER: to_json(header.to_json()),
            "basis.safetensors": to_tensors(vectors=self.basis.vectors, null=self.basis.null),
            "words.json": to_json([asdict(axis) for axis in self.basis.axes]),
            "base_answers.jsonl": to_jsonl(
                {"prompt": answer.prompt, "response": answer.response} for answer in self.base_answers
            ),
            "README.md": card_text(header, *self._told(), self.basis, n_models=len(self)).encode(),
        }
        if pool is None:
            contents["coordinates.safetensors"] = to_tensors(
                coordinates=np.asarray(self.coordinates), stderr=np.asarray(self.stderr)
            )
            contents["models.jsonl"] = to_jsonl(asdict(card) for card in self.models)
        else:
            fits = self.provenance.fits
            contents |= pool_files(
                self.basis, self.models, self.coordinates, self.stderr, fits, dtype=pool, device=not server_files
            )
        if server_files and self.embeddings is not None:
            contents[EMBEDDINGS] = to_tensors(embeddings=self.embeddings)
        if server_files and self.pairs is not None:
            contents[PAIRS] = self.pairs.chunks()
        if server_files and self.reference is not None:
            contents[REFERENCE] = to_tensors(reference=self.reference)
        return write_folder(folder, contents)

    def _told(self) -> tuple[list[Explanation], Sequence[ModelCard]]:
        """What the card tells of the first models."""
        cards = self.models[:MOST_TOLD]
        return [self._explanation(row) for row in range(len(cards))], cards

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
        k, d = len(axes), provenance.width + len(provenance.measured)
        vectors = from_tensors(*read("basis.safetensors"), {"vectors": (k, d), "null": (d,)})
        if provenance.format_version == POOL:
            provenance, models, coordinates, stderr = open_pool(folder, hashes, provenance, k)
        else:
            models = models_from(*read("models.jsonl"))
            if set(provenance.fits) != {card.name for card in models} or len(provenance.fits) != len(models):
                raise CatalogCorruptError(f"{folder / 'models.jsonl'}: its models are not those of {HEADER}")
            shape = (len(models), k)
            found = from_tensors(*read("coordinates.safetensors"), {"coordinates": shape, "stderr": shape})
            coordinates, stderr = found["coordinates"], found["stderr"]
        m = len(models)
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
            coordinates=coordinates,
            stderr=stderr,
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
