"""References: how a model is named in Python, in files and on the command line.

``PATH`` or ``org/name`` (a causal LM, a diffusers pipeline, or an adapter of PEFT or diffusers), ``answers:FILE.jsonl`` (a recorded model),
``zoo:NAME`` (a model shipped with the package).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from xpert.errors import IncompatibleModelError, RecordedModelError, ReferenceNotFoundError, SettingsError
from xpert.examples import holds_images, load_answers
from xpert.tensors.files import sha256_bytes, sha256_file
from xpert.weights import LORA_FILE, digest, tensor_shapes, weight_files

__all__ = [
    "Kind",
    "ModelInfo",
    "Reference",
    "declared_base",
    "describe",
    "is_hub_id",
    "kind_of",
    "models_from_dir",
    "parse_reference",
    "portable",
    "require_weights",
    "resolve",
]

Kind: TypeAlias = Literal["full", "adapter", "pipeline", "recorded"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SCHEME = re.compile(r"[a-z][a-z0-9_]+(?=:)")
_MARKS: dict[str, Kind] = {
    "adapter_config.json": "adapter",
    "model_index.json": "pipeline",
    "config.json": "full",
    LORA_FILE: "adapter",
}
_FILES = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "*.jsonl", "README.md")
_NO_DOWNLOAD = ("*.onnx*", "onnx/*", "*.gguf", "original/*", "checkpoint-*/*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference taken apart.

    Attributes:
        text: As it was written.
        scheme: ``answers`` (a recorded model), ``zoo`` (a shipped one) or ``model`` (a folder or a Hub id).
        target: What follows the scheme: a file, a name, a folder or a Hub id.
    """

    text: str
    scheme: Literal["model", "answers", "zoo"]
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of a model without loading its weights.

    Attributes:
        kind: ``full``, ``adapter``, ``pipeline`` or ``recorded``.
        base: The base that an adapter declares, else None.
        bytes: Size of the files a device must download.
        licence: As the model card's front matter states it, or None.
        revision: Hub commit, or None for a local model.
        sha256: Digest over the weight files (a recorded model: of its answers).
    """

    kind: Kind
    base: str | None
    bytes: int
    licence: str | None
    revision: str | None
    sha256: str


def parse_reference(text: str | Path) -> Reference:
    """Take a reference apart; nothing is looked up.

    >>> parse_reference("zoo:base").target
    'base'
    >>> parse_reference("org/name").scheme
    'model'
    """
    text = str(text)
    for scheme in ("answers", "zoo"):
        if text.startswith(f"{scheme}:"):
            return Reference(text=text, scheme=scheme, target=text.removeprefix(f"{scheme}:"))
    return Reference(text=text, scheme="model", target=text)


def resolve(reference: str | Path | Reference) -> Path:
    """The local folder of a model (a recorded model: its file); a Hub id is downloaded, or found in the local cache.

    Raises:
        xpert.errors.ReferenceNotFoundError: It names nothing, or the Hub has it not or cannot be reached.
    """
    reference = reference if isinstance(reference, Reference) else parse_reference(reference)
    if reference.scheme == "zoo":
        from xpert.zoo import path

        return path(reference.target)
    target = Path(reference.target)
    if reference.scheme == "answers":
        if not target.is_file():
            raise ReferenceNotFoundError(
                f"answers file {reference.target!r} does not exist: expected a JSON Lines file"
            )
        return target
    if target.is_dir():
        return target
    if target.is_file():
        raise ReferenceNotFoundError(
            f"{reference.text!r} is a file: expected a model's folder (recorded answers are named answers:{target})"
        )
    if _HUB_ID.fullmatch(reference.target):
        return _download(reference.target)
    if scheme := _SCHEME.match(reference.text):
        raise ReferenceNotFoundError(
            f"unknown reference {reference.text!r}: {scheme.group()!r} names no kind of model: "
            "expected a folder, org/name, answers:FILE.jsonl or zoo:NAME"
        )
    raise ReferenceNotFoundError(
        f"model {reference.text!r} not found: no such folder, and not of the form org/name, answers:FILE.jsonl or zoo:NAME"
    )


def describe(reference: str | Path | Reference) -> ModelInfo:
    """What a reference is, from its small files and its weight files' headers and digests; no weights are loaded.

    Raises:
        xpert.errors.ReferenceNotFoundError: It names nothing, or a folder that holds no model.
        xpert.errors.WeightsError: Weights are missing, truncated or pickled.
        xpert.errors.IncompatibleModelError: An adapter's ``adapter_config.json`` cannot be read.
    """
    reference = reference if isinstance(reference, Reference) else parse_reference(reference)
    path, kind = resolve(reference), kind_of(reference)
    if kind == "recorded":
        size, sha256 = _recorded(path)
        return ModelInfo(kind=kind, base=None, bytes=size, licence=None, revision=None, sha256=sha256)
    files = weight_files(path)
    tensor_shapes(files)
    return ModelInfo(
        kind=kind,
        base=declared_base(path) if kind == "adapter" else None,
        bytes=sum(file.stat().st_size for file in _published_files(path)),
        licence=_licence(path),
        revision=path.name if path.parent.name == "snapshots" else None,
        sha256=digest(path, files),
    )


def kind_of(reference: str | Path | Reference) -> Kind:
    """What a reference is, told by which files are there; quick, for nothing is read.

    Raises:
        xpert.errors.ReferenceNotFoundError: It names nothing, or a folder that holds no model.
    """
    reference = reference if isinstance(reference, Reference) else parse_reference(reference)
    path = resolve(reference)
    kind = "recorded" if reference.scheme == "answers" else _kind(path)
    if kind is None:
        raise ReferenceNotFoundError(
            f"{path} holds no model: expected config.json, adapter_config.json, model_index.json or {LORA_FILE} in it"
        )
    return kind


def is_hub_id(text: str) -> bool:
    """Whether a reference can only be a Hub id: of the form ``org/name``, and no folder here."""
    return _HUB_ID.fullmatch(text) is not None and not Path(text).exists()


def require_weights(reference: str | Path | Reference, what: str) -> Path:
    """The folder of a model that has weights, for ``what`` (such as ``merge``) needs them.

    Raises:
        xpert.errors.RecordedModelError: It is a recorded model.
    """
    reference = reference if isinstance(reference, Reference) else parse_reference(reference)
    if reference.scheme == "answers":
        raise RecordedModelError(f"cannot {what} {reference.text!r}: a recorded model has answers only, no weights")
    return resolve(reference)


def portable(reference: str | Path) -> str:
    """A reference as another folder may store it: a local folder as an absolute path, a name as it is."""
    text = str(reference)
    if parse_reference(text).scheme == "model" and Path(text).is_dir():
        return os.path.abspath(text)
    return text


def models_from_dir(folder: str | Path) -> dict[str, str]:
    """Name to reference of every model in a folder: its sub-folders that hold one, and its ``*.jsonl`` as recorded ones.

    Raises:
        xpert.errors.ReferenceNotFoundError: There is no such folder, or no model in it.
        xpert.errors.SettingsError: A sub-folder and a file have one name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ReferenceNotFoundError(f"folder {str(folder)!r} does not exist: expected a folder of models")
    models: dict[str, str] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and _kind(entry) is not None:
            name, reference = entry.name, str(entry)
        elif entry.is_file() and entry.suffix == ".jsonl":
            name, reference = entry.stem, f"answers:{entry}"
        else:
            continue
        if name in models:
            raise SettingsError(f"{folder}: two models are named {name!r} ({models[name]}, {reference}): rename one")
        models[name] = reference
    if not models:
        raise ReferenceNotFoundError(
            f"{folder} holds no models: expected sub-folders with a model or an adapter, or *.jsonl files of answers"
        )
    return models


def _kind(folder: Path) -> Kind | None:
    for mark, kind in _MARKS.items():
        if (folder / mark).is_file():
            return kind
    return None


def declared_base(folder: Path) -> str | None:
    """The base that an adapter's ``adapter_config.json`` names, or None (diffusers' own LoRA files name none).

    Raises:
        xpert.errors.IncompatibleModelError: The file cannot be read.
    """
    file = folder / "adapter_config.json"
    if not file.is_file() and (folder / LORA_FILE).is_file():
        return None
    try:
        config: Any = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IncompatibleModelError(f"{file}: expected JSON ({error}): save the adapter again") from None
    if not isinstance(config, dict):
        raise IncompatibleModelError(f"{file}: expected a JSON object: save the adapter again")
    base = cast("dict[str, Any]", config).get("base_model_name_or_path")
    return str(base) if base else None


def _recorded(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of a recorded model: of its file, and of the images that it names."""
    if not holds_images(path):
        return path.stat().st_size, sha256_file(path)
    answers = [text for answer in load_answers(path) for text in (answer.response, answer.response2) if text]
    images = [Path(text) for text in dict.fromkeys(answers) if not text.startswith("data:")]
    said = [sha256_file(path), *(sha256_file(image) for image in images)]
    return sum(file.stat().st_size for file in (path, *images)), sha256_bytes("\n".join(said).encode())


def _published_files(folder: Path) -> list[Path]:
    """The files a download would bring."""
    deep = "**/" if (folder / "model_index.json").is_file() else ""
    return sorted({file for pattern in _FILES for file in folder.glob(deep + pattern) if file.is_file()})


def _licence(folder: Path) -> str | None:
    """``license`` of the model card's YAML front matter (``license_name`` where it says ``other``)."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    front = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    if front is None:
        return None
    fields = dict(re.findall(r"^(license|license_name):[ \t]*[\"']?([^\"'\n#]+?)[\"']?[ \t]*$", front[1], re.MULTILINE))
    if fields.get("license") == "other":
        return fields.get("license_name", "other")
    return fields.get("license")


@cache
def _download(repository: str) -> Path:
    """The repository's snapshot, small files first: asked for once a process, so that one run sees one revision."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hub: Any = huggingface_hub
    weights = [pattern for pattern in _FILES if pattern.endswith(".safetensors")]
    small = [pattern for pattern in _FILES if pattern not in weights]
    ignored = list(_NO_DOWNLOAD)
    try:
        folder = Path(hub.snapshot_download(repository, allow_patterns=small, ignore_patterns=ignored))
        if (folder / "model_index.json").is_file():  # a pipeline's may lie there again, in one file
            weights, ignored = ["*/*.safetensors"], [*ignored, "safety_checker/*", "*.non_ema.*"]
        revision = folder.name if folder.parent.name == "snapshots" else None
        return Path(
            hub.snapshot_download(repository, revision=revision, allow_patterns=weights, ignore_patterns=ignored)
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ReferenceNotFoundError(
            f"model {repository!r} not found: no such folder here, and the Hub gave nothing "
            f"({type(error).__name__}): check name, network and access rights"
        ) from error
