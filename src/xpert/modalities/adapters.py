"""PEFT adapters put on a base that is loaded once, and taken off again so that the base is as before, bit for bit.

PEFT loads what fits and is silent, or only warns, about the rest; here an adapter fits tensor by tensor or is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from xpert.errors import IncompatibleModelError, ReferenceNotFoundError
from xpert.references import declared_base, is_hub_id, parse_reference, resolve
from xpert.weights import check_finite, digest, tensor_shapes, weight_files

__all__ = ["applied", "check_adapter", "check_declared"]

_PREFIX = "base_model.model."
_ADAPTER = "probed"
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
"""Ways of initialising LoRA that move the base's own weights: such an adapter belongs to a base that is not on disk."""


def check_adapter(folder: Path, skeleton: Any, base: str) -> None:
    """Check, without loading a weight, that an adapter fits the base: names and shapes of all its tensors.

    It is injected into an empty copy of the base, and what PEFT then expects is held against the file's header.

    Args:
        folder: The adapter's.
        skeleton: An empty copy of the base: all its modules, no memory; as before afterwards, but spoilt after an error.
        base: Reference of the base, for messages.

    Raises:
        xpert.errors.IncompatibleModelError: Another base, or a kind of adapter that cannot be taken off again.
        xpert.errors.WeightsError: The adapter's file is missing or truncated.
    """
    declared = declared_base(folder)
    trained = "" if declared is None or declared == base else f", it was trained on {declared!r}"
    refused = f"{folder} is no adapter of the base {base!r}{trained}"
    peft = _inject(skeleton, folder, refused)
    _compare(peft, tensor_shapes(weight_files(folder)), refused)
    _take_off(peft, skeleton)


def check_declared(reference: str, declared: str | None, base: str, folder: Path, own: Callable[[], str]) -> None:
    """An adapter of the same shape may still be another base's: compare the base it names, as far as that is at hand.

    Args:
        reference: The adapter's.
        declared: The base it names, or None.
        base: Reference of the base.
        folder: The base's folder.
        own: Gives the digest over the base's weight files.

    Raises:
        xpert.errors.IncompatibleModelError: It names another base.
    """
    if declared is None or declared == base:
        return
    wrong = f"adapter {reference!r} declares the base {declared!r}, not {base!r}"
    advice = "give the base it was trained on (its adapter_config.json names it)"
    if parse_reference(declared).scheme == "model" and not Path(declared).is_dir():
        if is_hub_id(declared) and is_hub_id(base) and declared.lower() != base.lower():
            raise IncompatibleModelError(f"{wrong}: {advice}")
        return  # a folder of the machine it was trained on: names and shapes are all there is to compare
    try:
        named = resolve(declared)
    except ReferenceNotFoundError as error:
        raise IncompatibleModelError(f"{wrong}, and that is not there: {advice}") from error
    if (named.parent / "model_index.json").is_file():
        named = named.parent  # the denoiser of a pipeline
    if not named.samefile(folder) and digest(named, weight_files(named)) != own():
        raise IncompatibleModelError(f"{wrong}, and their weights differ: {advice}")


@contextmanager
def applied(model: Any, folder: Path) -> Iterator[Any]:
    """The base with an adapter on it, for the length of the block; afterwards the base is as it was, after an error too.

    Args:
        model: The base, a Transformers model or a pipeline's denoiser; changed in place meanwhile.
        folder: The adapter's, which has passed `check_adapter` on this base.

    Raises:
        xpert.errors.IncompatibleModelError: It brings base tensors that are not the base's.
        xpert.errors.WeightsError: A tensor of it is not finite.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    (file,) = weight_files(folder)
    tensors = load_file(file)
    check_finite(tensors, str(file))
    peft = _inject(model, folder, f"{folder} does not fit the base")
    try:
        tensors = _without_base_tensors(peft, tensors, file)
        set_peft_model_state_dict(peft, tensors, adapter_name=_ADAPTER)
        yield peft.eval()
    finally:
        _take_off(peft, model)


def _take_off(peft: Any, model: Any) -> None:
    peft.base_model.unload()
    model.__dict__.pop("peft_config", None)  # PEFT releases before 0.18 leave it


def _inject(model: Any, folder: Path, refused: str) -> Any:
    from peft import PeftConfig, get_peft_model

    try:
        config: Any = PeftConfig.from_pretrained(str(folder))
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise IncompatibleModelError(f"{folder}: adapter_config.json cannot be used: {error}") from error
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if config.is_prompt_learning:
        raise IncompatibleModelError(
            f"{folder}: {kind} adapters are not supported: expected one that changes weights, as LoRA"
        )
    start = getattr(config, "init_lora_weights", True)
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        raise IncompatibleModelError(
            f"{folder}: init_lora_weights={start!r} changes the base's own weights: save it as plain LoRA "
            "(save_pretrained with path_initial_model_for_weight_conversion)"
        )
    if hasattr(config, "init_lora_weights"):
        config.init_lora_weights = True
    config.base_model_name_or_path = None
    config.inference_mode = True
    try:
        with torch.random.fork_rng(devices=[]):
            return get_peft_model(model, config, adapter_name=_ADAPTER)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise IncompatibleModelError(f"{refused}: {' '.join(str(error).split())[:300]}") from error


def _compare(peft: Any, found: Mapping[str, tuple[int, ...]], refused: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in _state(peft).items()}
    bare = {name: tuple(tensor.shape) for name, tensor in _base_tensors(peft).items()}
    for name in sorted(expected):
        if name not in found:
            raise IncompatibleModelError(f"{refused}: its file has no tensor {name}, which its config asks for")
    for name, shape in sorted(found.items()):
        wanted = expected.get(name, bare.get(_base_name(name)))
        if wanted is None:
            raise IncompatibleModelError(f"{refused}: tensor {name} belongs to no module that its config names")
        if wanted != shape:
            raise IncompatibleModelError(f"{refused}: tensor {name} has shape {shape}, the base needs {wanted}")


def _without_base_tensors(peft: Any, tensors: dict[str, torch.Tensor], file: Path) -> dict[str, torch.Tensor]:
    """The adapter's tensors without copies of the base's own (PEFT saves embeddings along), which must be the base's."""
    expected, base = _state(peft), _base_tensors(peft)
    for name in sorted(tensors.keys() - expected.keys()):
        own = base[_base_name(name)]
        if not torch.equal(tensors[name].to(own), own):
            raise IncompatibleModelError(f"{file} is no adapter of this base: it brings another {_base_name(name)}")
    return {name: tensor for name, tensor in tensors.items() if name in expected}


def _state(peft: Any) -> dict[str, torch.Tensor]:
    """The adapter's tensors by the names that its file has."""
    from peft import get_peft_model_state_dict

    return get_peft_model_state_dict(peft, adapter_name=_ADAPTER, save_embedding_layers=False)


def _base_tensors(peft: Any) -> dict[str, torch.Tensor]:
    """The base's tensors by their own names, the adapter's left out."""
    named = peft.named_parameters(remove_duplicate=False)
    return {_base_name(name): tensor for name, tensor in named if f".{_ADAPTER}" not in name}


def _base_name(name: str) -> str:
    return name.removeprefix(_PREFIX).replace(".base_layer.", ".")
