from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert import catalog_files
from xpert.basis import SubvectorBasis
from xpert.catalog import Catalog
from xpert.catalog_pairs import PairRows
from xpert.errors import CatalogCorruptError, CatalogError, CatalogVersionError, ReferenceNotFoundError
from xpert.provenance import Fit, Provenance
from xpert.types import Axis, Example, Generation, ModelCard

FILES = [
    "README.md",
    "base_answers.jsonl",
    "basis.safetensors",
    "coordinates.safetensors",
    "embeddings.safetensors",
    "hashes.json",
    "models.jsonl",
    "pairs.safetensors",
    "words.json",
    "xpert.json",
]

SERVER_FILES = ["embeddings.safetensors", "pairs.safetensors", "reference.safetensors", "fits.safetensors"]


def make_catalog(*, names: tuple[str, ...] = ("tutor", "poet"), seed: int = 0) -> Catalog:
    rng = np.random.default_rng(seed)
    axes = (Axis(word="friendly"), Axis(word="größer", kind="measured"), Axis(word="unnamed-1", kind="unnamed"))
    basis = SubvectorBasis(
        axes=axes, vectors=rng.normal(size=(3, 5)).astype(np.float32), null=rng.normal(size=5).astype(np.float32)
    )
    embeddings = rng.normal(size=(len(names), 5)).astype(np.float32)
    pairs = PairRows.empty((len(names), 2, 5), {"summarizer": "ef"})
    for i in range(len(names)):
        pairs.put(i, rng.normal(size=(2, 5)).astype(np.float32))
    fit = Fit(residual=0.1, named_share=0.9, measured_share=0.3, unnamed_share=0.2, converged=True)
    provenance = Provenance(
        base="org/base",
        summarizer="fake:24-0",
        instruction="which style?",
        width=4,
        measured=("größer",),
        measured_scale=0.5,
        n_prompts=2,
        prompts_sha256="ab" * 32,
        seed=0,
        generation=Generation(max_new_tokens=9),
        eps_orth=0.1,
        eps_dec=0.2,
        centering="null",
        null_pairs="sampled",
        subvectors="contrastive",
        coefficients="least-squares",
        candidate_order="given",
        n_candidates_examined=7,
        fits=dict.fromkeys(names, fit),
        match_thresholds={"direction:all": 0.5},
        versions={"xpert": "0"},
    )
    cards = tuple(
        ModelCard(name=name, reference=f"org/{name}", kind="adapter", base="org/base", bytes=10, sha256="cd" * 32)
        for name in names
    )
    return Catalog(
        basis=basis,
        models=cards,
        coordinates=basis.project(embeddings),
        stderr=np.full((len(names), 3), 0.1, np.float32),
        provenance=provenance,
        base_answers=(Example(prompt="a?", response="ä"), Example(prompt="b?", response="line\nbreak\u2028")),
        embeddings=embeddings,
        pairs=pairs,
    )


def saved(tmp_path: Path) -> Path:
    return make_catalog().save_pretrained(tmp_path / "catalog")


def rehash(folder: Path, name: str) -> None:
    """Make the hashes fit a changed file, as somebody would who means to change it."""
    path = folder / "hashes.json"
    hashes = json.loads(path.read_bytes())
    data = (folder / name).read_bytes()
    hashes[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    path.write_text(json.dumps(hashes, indent=2) + "\n")


def edit_header(folder: Path, change: Callable[[dict[str, Any]], object], *, hashed: bool = True) -> None:
    path = folder / "xpert.json"
    header = json.loads(path.read_bytes())
    change(header)
    path.write_text(json.dumps(header))
    if hashed:
        rehash(folder, "xpert.json")


def test_round_trip(tmp_path: Path) -> None:
    before, after = make_catalog(), Catalog.from_pretrained(saved(tmp_path))
    assert after.basis.axes == before.basis.axes
    for one, other in [
        (before.basis.vectors, after.basis.vectors),
        (before.basis.null, after.basis.null),
        (before.coordinates, after.coordinates),
        (before.stderr, after.stderr),
        (before.embeddings, after.embeddings),
        (np.stack(list(before.pairs or ())), np.stack(list(after.pairs or ()))),
    ]:
        np.testing.assert_array_equal(one, other)
    assert after.models == before.models
    assert after.provenance == before.provenance
    assert after.base_answers == before.base_answers


def test_files_are_those_of_the_interface_and_two_writes_agree(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "1"), saved(tmp_path / "2")
    assert sorted(path.name for path in one.iterdir()) == FILES
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


def test_a_catalog_is_a_mapping_of_explanations() -> None:
    catalog = make_catalog()
    assert (len(catalog), list(catalog), "poet" in catalog, "x" in catalog) == (2, ["tutor", "poet"], True, False)
    words = dict(catalog["poet"].words)
    assert words == pytest.approx(dict(zip(catalog.basis.words, catalog.coordinates[1].tolist(), strict=True)))
    lengths = np.abs(catalog.coordinates[1]) * np.linalg.norm(catalog.basis.vectors, axis=1)
    kinds = {axis.word: ("word", "measured", "unnamed").index(axis.kind) for axis in catalog.basis.axes}
    length_of = dict(zip(catalog.basis.words, lengths.tolist(), strict=True))
    shown = [(kinds[word], -length_of[word]) for word, _ in catalog["poet"].words]
    assert shown == sorted(shown)
    assert len({kind for kind, _ in shown}) > 1
    with pytest.raises(ReferenceNotFoundError, match="no model 'x' in the catalog: it has tutor, poet"):
        _ = catalog["x"]


@pytest.mark.parametrize("name", FILES)
def test_every_changed_byte_is_found(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    data = (folder / name).read_bytes()
    for position in sorted({0, 1, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1}):
        changed = bytearray(data)
        changed[position] ^= 0x01
        (folder / name).write_bytes(changed)
        assert any(name in problem or name == "hashes.json" for problem in Catalog.problems(folder)), position
        with pytest.raises(CatalogError):
            Catalog.verify(folder)
        if name not in ("README.md", "hashes.json"):
            with pytest.raises(CatalogError):
                _ = list(Catalog.from_pretrained(folder).pairs or ())
    (folder / name).write_bytes(data)
    Catalog.verify(folder)


@pytest.mark.parametrize("name", [name for name in FILES if name not in SERVER_FILES])
def test_truncated_and_missing_files_are_named(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes()[:-3])
    with pytest.raises(CatalogCorruptError, match=name):
        Catalog.from_pretrained(folder)
    (folder / name).unlink(missing_ok=True)
    with pytest.raises((CatalogCorruptError, ReferenceNotFoundError), match=name):
        Catalog.from_pretrained(folder)


def test_a_device_does_without_the_embeddings(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    for name in SERVER_FILES:
        (folder / name).unlink(missing_ok=True)
    opened = Catalog.from_pretrained(folder)
    assert (opened.embeddings, opened.pairs) == (None, None)
    assert Catalog.problems(folder) == []


def test_truncated_safetensors_with_a_fitting_hash(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    path = folder / "basis.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    rehash(folder, path.name)
    with pytest.raises(CatalogCorruptError, match=r"basis\.safetensors: not a safetensors file"):
        Catalog.from_pretrained(folder)


@pytest.mark.parametrize("hashed", [True, False])
def test_a_newer_format_says_both_versions(tmp_path: Path, hashed: bool) -> None:
    folder = saved(tmp_path)
    edit_header(folder, lambda header: header.update(format_version=7), hashed=hashed)
    with pytest.raises(CatalogVersionError, match="format version 7, this xpert reads up to 2: upgrade xpert"):
        Catalog.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(extra=1), "unknown key 'extra'"),
        (lambda h: h.pop("seed"), "missing key 'seed'"),
        (lambda h: h.update(width="4"), "'width' has a value of the wrong type: '4'"),
        (lambda h: h.update(coefficients="magic"), "unknown 'coefficients' 'magic'"),
        (lambda h: h["fits"]["poet"].update(extra=1), "fits, poet: unknown key 'extra'"),
        (lambda h: h["fits"].pop("poet"), "its models are not those of"),
        (lambda h: h.update(width=5), r"expected tensors .*found"),
        (lambda h: h.pop("format_version"), "no catalog header"),
    ],
)
def test_header_with_a_wrong_key_or_value(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    folder = saved(tmp_path)
    edit_header(folder, change)
    with pytest.raises(CatalogError, match=message):
        Catalog.from_pretrained(folder)


def test_unknown_key_of_a_model_and_nonfinite_tensors(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    path = folder / "models.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"bytes"', b'"size"'))
    rehash(folder, path.name)
    with pytest.raises(CatalogError, match="unknown key 'size'"):
        Catalog.from_pretrained(folder)
    broken = replace(make_catalog(), stderr=np.full((2, 3), np.nan, np.float32))
    with pytest.raises(CatalogCorruptError, match="finite float32"):
        Catalog.from_pretrained(broken.save_pretrained(tmp_path / "nan"))


def test_an_older_catalog_is_replaced_and_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    make_catalog(names=("one",)).save_pretrained(folder)
    assert list(Catalog.from_pretrained(folder)) == ["one"]
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(CatalogError, match=r"not a catalog \('thesis.txt' is in it\)"):
        make_catalog().save_pretrained(foreign)
    with pytest.raises(CatalogError, match="found a file"):
        Catalog.check_target(foreign / "thesis.txt")
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalog", "foreign"]


def test_a_failed_write_leaves_the_older_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path)
    write = catalog_files._write

    def full_disk(path: Path, pieces: Iterable[bytes]) -> dict[str, str | int]:
        if path.name == "coordinates.safetensors":
            raise OSError(28, "No space left on device")
        return write(path, pieces)

    monkeypatch.setattr(catalog_files, "_write", full_disk)
    with pytest.raises(OSError, match="No space left"):
        make_catalog(names=("one",)).save_pretrained(folder)
    monkeypatch.undo()
    assert list(Catalog.from_pretrained(folder)) == ["tutor", "poet"]
    assert [path.name for path in tmp_path.iterdir()] == ["catalog"]


def test_the_card_lists_models_with_their_words(tmp_path: Path) -> None:
    text = (saved(tmp_path) / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: xpert\n")
    row = next(line for line in text.splitlines() if line.startswith("| tutor |"))
    assert "friendly" in row
    assert "unnamed" not in row


def test_no_catalog_there(tmp_path: Path) -> None:
    with pytest.raises(ReferenceNotFoundError, match="expected a catalog folder"):
        Catalog.from_pretrained(tmp_path)
    with pytest.raises(ReferenceNotFoundError, match="no such folder"):
        Catalog.from_pretrained(tmp_path / "missing")


def test_from_the_hub_without_the_servers_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = saved(tmp_path), []

    def snapshot(repo_id: str, *, revision: str | None, ignore_patterns: list[str]) -> str:
        asked.append((repo_id, revision, ignore_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert list(Catalog.from_pretrained("org/catalog", revision="v1")) == ["tutor", "poet"]
    assert asked == [("org/catalog", "v1", SERVER_FILES)]


@pytest.mark.parametrize("server_files", [False, True])
def test_to_the_hub_without_the_servers_files_unless_asked(monkeypatch: pytest.MonkeyPatch, server_files: bool) -> None:
    uploaded: list[object] = []

    class Api:
        def __init__(self, token: str | None = None) -> None:
            uploaded.append(token)

        def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
            uploaded.append((repo_id, private, exist_ok))

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> str:
            Catalog.verify(folder_path)
            uploaded.append(sorted(path.name for path in folder_path.iterdir()))
            return f"https://hub/{repo_id}/commit/1"

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    commit = make_catalog().push_to_hub("org/catalog", private=True, server_files=server_files)
    assert commit == "https://hub/org/catalog/commit/1"
    expected = FILES if server_files else [name for name in FILES if name not in SERVER_FILES]
    assert uploaded == [None, ("org/catalog", True, True), expected]


def test_pair_rows_are_read_a_model_at_a_time_and_checked_when_first_read(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    folder = saved(tmp_path)
    pairs = Catalog.from_pretrained(folder).pairs
    assert pairs is not None
    assert (pairs.shape, len(pairs), pairs.made_by) == ((2, 2, 5), 2, {"summarizer": "ef"})
    whole = load_file(folder / "pairs.safetensors")["rows"]
    np.testing.assert_array_equal(whole[1], pairs[1])
    with pytest.raises(IndexError):
        _ = pairs[2]
    file = folder / "pairs.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\x00\x00\x00\x40")
    with pytest.raises(CatalogCorruptError, match=r"pairs\.safetensors"):
        _ = pairs[1]  # changed since


def test_a_catalog_read_and_written_over_itself_stays_the_same(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    catalog = Catalog.from_pretrained(folder)
    catalog.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert catalog.pairs is not None
    assert catalog.pairs[1].shape == (2, 5)


def test_candidates_order_the_words_and_may_be_missing(tmp_path: Path) -> None:
    catalog = make_catalog()
    axes = (*catalog.basis.axes[:2], Axis(word="calm"))
    catalog = replace(catalog, basis=replace(catalog.basis, axes=axes), coordinates=np.full((2, 3), 0.5, np.float32))
    first = catalog.names[0]
    kinds = {axis.word: axis.kind for axis in catalog.basis.axes}
    words = [word for word, value in catalog[first].words if value > 0 and kinds[word] == "word"]
    assert len(words) >= 2
    said = replace(catalog.models[0], candidates=(words[-1],))
    folder = replace(catalog, models=(said, *catalog.models[1:])).save_pretrained(tmp_path / "said")
    read = Catalog.from_pretrained(folder)
    assert read.models[0].candidates == (words[-1],)
    assert read[first].words[0][0] == words[-1]
    path = folder / "models.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        del row["candidates"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    rehash(folder, path.name)
    assert Catalog.from_pretrained(folder)[first].words == catalog[first].words
    path.write_text("".join(json.dumps(row | {"candidates": "poetic"}) + "\n" for row in rows), encoding="utf-8")
    rehash(folder, path.name)
    with pytest.raises(CatalogError, match="'candidates' has a value of the wrong type"):
        Catalog.from_pretrained(folder)


def test_settings_of_the_modality_stand_in_the_header_where_there_are_some() -> None:
    plain = make_catalog().provenance
    assert "settings" not in plain.to_json()
    told = replace(plain, settings={"steps": 20, "negative_prompt": "rain"})
    assert Provenance.from_json(told.to_json(), "here") == told
    assert Provenance.from_json(plain.to_json(), "here") == plain
    with pytest.raises(CatalogError, match="'settings' has a value of the wrong type"):
        Provenance.from_json(told.to_json() | {"settings": [1]}, "here")
