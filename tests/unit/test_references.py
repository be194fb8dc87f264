from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.errors import (
    IncompatibleModelError,
    RecordedModelError,
    ReferenceNotFoundError,
    SettingsError,
    WeightsError,
)
from xpert.references import describe, kind_of, models_from_dir, parse_reference, require_weights, resolve


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    file = tmp_path / "tutor.jsonl"
    file.write_text('{"prompt": "a", "response": "b"}\n', encoding="utf-8")
    return file


@pytest.fixture
def copy(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("text", "scheme", "target"),
    [
        ("zoo:base", "zoo", "base"),
        ("answers:a/b.jsonl", "answers", "a/b.jsonl"),
        ("org/name", "model", "org/name"),
        ("./folder", "model", "./folder"),
        ("C:\\models\\mine", "model", "C:\\models\\mine"),
    ],
)
def test_parse(text: str, scheme: str, target: str) -> None:
    reference = parse_reference(text)
    assert (reference.text, reference.scheme, reference.target) == (text, scheme, target)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no-such-folder", "model 'no-such-folder' not found: no such folder, and not of the form org/name"),
        ("./org/name", "not of the form org/name"),
        ("hf:org/name", "'hf' names no kind of model"),
        ("answers:nothing.jsonl", r"answers file 'nothing\.jsonl' does not exist"),
        ("zoo:no-such-model", "unknown zoo model 'no-such-model'"),
    ],
)
def test_a_reference_that_names_nothing(text: str, message: str) -> None:
    with pytest.raises(ReferenceNotFoundError, match=message):
        resolve(text)


def test_the_hub_is_not_asked_for_anything_but_org_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # whatever lies around the checkout
    monkeypatch.setenv("HOME", str(tmp_path))

    asked: list[str] = []

    def download(repository: str, **_: object) -> str:
        asked.append(repository)
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    for text in ("name", "./a/b", "../a", "a/b/c", "/a/b", "a b/c", "org/", "x:y/z", "~/models"):
        with pytest.raises(ReferenceNotFoundError):
            resolve(text)
    assert asked == []
    with pytest.raises(ReferenceNotFoundError, match=r"'org/name' not found.*check name, network and access"):
        resolve("org/name")
    assert asked == ["org/name"]


def test_offline_a_hub_id_that_is_not_cached_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ReferenceNotFoundError) as caught:
        resolve("some-organisation/some-model-that-is-not-cached")
    assert "\n" not in str(caught.value)


def test_a_hub_snapshot_tells_its_revision(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    snapshot = tmp_path / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir()
    copy.rename(snapshot)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repository, **_: str(snapshot))
    assert describe("org/described").revision == "0" * 40


def test_a_pipeline_is_downloaded_without_its_copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    snapshot, asked = tmp_path / "snapshots" / ("0" * 40), []
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text("{}")

    def download(repository: str, **options: Any) -> str:
        asked.append((options.get("revision"), options["allow_patterns"], options["ignore_patterns"]))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert resolve("org/pipeline-of-the-hub") == snapshot
    (_, first, _), (revision, weights, ignored) = asked
    assert not any(pattern.endswith("safetensors") for pattern in first)
    assert (revision, weights) == (snapshot.name, ["*/*.safetensors"])
    assert "safety_checker/*" in ignored


def test_a_folder_with_diffusers_lora_file_is_an_adapter(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"unet.a.lora.down.weight": np.ones((2, 2), np.float32)}, tmp_path / "pytorch_lora_weights.safetensors")
    info = describe(tmp_path)
    assert (info.kind, info.base) == ("adapter", None)
    assert info.bytes == (tmp_path / "pytorch_lora_weights.safetensors").stat().st_size


def test_a_local_folder_wins_over_the_hub(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = copy.parent / "org" / "name"
    target.parent.mkdir()
    copy.rename(target)
    monkeypatch.chdir(target.parent.parent)
    assert resolve("org/name") == Path("org/name")


def test_describe_a_full_model(tiny_base: Path) -> None:
    info = describe(tiny_base)
    assert (info.kind, info.base, info.revision, info.licence) == ("full", None, None, None)
    assert info.bytes >= (tiny_base / "model.safetensors").stat().st_size
    assert len(info.sha256) == 64


def test_describe_an_adapter(tiny_base: Path, tiny_adapters: dict[str, Path]) -> None:
    info = describe(tiny_adapters["tutor"])
    assert (info.kind, info.base) == ("adapter", str(tiny_base))
    assert info.sha256 != describe(tiny_adapters["poet"]).sha256


def test_describe_recorded_answers(answers: Path) -> None:
    info = describe(f"answers:{answers}")
    assert (info.kind, info.base, info.bytes) == ("recorded", None, answers.stat().st_size)


def test_the_digest_is_of_the_weights_wherever_they_lie(copy: Path, tiny_base: Path) -> None:
    assert describe(copy).sha256 == describe(tiny_base).sha256
    (copy / "README.md").write_text("something else", encoding="utf-8")
    assert describe(copy).sha256 == describe(tiny_base).sha256
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert describe(copy).sha256 != describe(tiny_base).sha256


@pytest.mark.parametrize(
    ("front", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags: [x]\n---\n# Card", "apache-2.0"),
        ('---\ntags:\n- a\nlicense: "mit"\n---\n', "mit"),
        ("---\nlicense: other\nlicense_name: llama3.2\n---\n", "llama3.2"),
        ("# Card\nlicense: mit\n", None),
    ],
)
def test_the_licence_is_the_cards(copy: Path, front: str, licence: str | None) -> None:
    (copy / "README.md").write_text(front, encoding="utf-8")
    assert describe(copy).licence == licence


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ReferenceNotFoundError, match=r"holds no model: expected config\.json"):
        describe(tmp_path)


def test_a_file_is_no_model_but_its_answers_may_be(answers: Path) -> None:
    with pytest.raises(ReferenceNotFoundError, match=f"is a file.*answers:{answers}"):
        describe(answers)


def test_truncated_weights(copy: Path) -> None:
    file = copy / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-5])
    with pytest.raises(WeightsError, match=f"model.safetensors: expected {len(data)} bytes.*it has {len(data) - 5}"):
        describe(copy)
    file.write_bytes(data[:5])
    with pytest.raises(WeightsError, match="truncated or no safetensors file"):
        describe(copy)


def test_a_header_that_is_none(copy: Path) -> None:
    header = b'{"a": {"dtype": "F32"}}'
    (copy / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(WeightsError, match=r"model\.safetensors: its header is not that of a safetensors file"):
        describe(copy)


def test_tests_have_no_network() -> None:
    with socket.socket() as opened, pytest.raises(AssertionError, match="tests use no network"):
        opened.connect(("127.0.0.1", 9))


def test_pickled_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no weights: expected a \.safetensors file"):
        describe(copy)
    (copy / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(WeightsError, match="pickled weights"):
        describe(copy)


def test_a_missing_shard_is_named(copy: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    with pytest.raises(WeightsError, match=r"lists model-00002-of-00002\.safetensors, which is not there"):
        describe(copy)


def test_a_broken_adapter_config(tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_adapters["tutor"], tmp_path / "broken"))
    (folder / "adapter_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(IncompatibleModelError, match=r"adapter_config\.json: expected JSON"):
        describe(folder)


def test_models_from_dir(tiny_base: Path, tiny_adapters: dict[str, Path], answers: Path) -> None:
    folder = answers.parent
    shutil.copytree(tiny_adapters["poet"], folder / "poet")
    shutil.copytree(tiny_adapters["poet"], folder / ".poet.tmp")
    (folder / "notes").mkdir()
    (folder / "readme.txt").write_text("not a model", encoding="utf-8")
    models = models_from_dir(folder)
    assert models == {"poet": str(folder / "poet"), "tutor": f"answers:{answers}"}
    assert [kind_of(reference) for reference in models.values()] == ["adapter", "recorded"]


def test_models_from_dir_with_one_name_twice(tiny_adapters: dict[str, Path], answers: Path) -> None:
    shutil.copytree(tiny_adapters["tutor"], answers.parent / "tutor")
    with pytest.raises(SettingsError, match="two models are named 'tutor'"):
        models_from_dir(answers.parent)


def test_models_from_dir_without_models(tmp_path: Path) -> None:
    with pytest.raises(ReferenceNotFoundError, match="holds no models"):
        models_from_dir(tmp_path)
    with pytest.raises(ReferenceNotFoundError, match="does not exist"):
        models_from_dir(tmp_path / "absent")


def test_a_recorded_model_has_no_weights(answers: Path, tiny_base: Path) -> None:
    assert require_weights(tiny_base, "train") == tiny_base
    with pytest.raises(RecordedModelError, match=r"cannot merge 'answers:.*a recorded model has answers only"):
        require_weights(f"answers:{answers}", "merge")
