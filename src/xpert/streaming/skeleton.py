"""A model without weights, and what its own forward pass asks of its layers.

Transformers drives: embeddings, masks and positions are computed by the model's own code, once, with the layers standing still; each
layer's arguments are noted. The layers themselves are then run by whoever has their weights, and the model's code finishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xpert.errors import IncompatibleModelError
from xpert.loading import decoder_of, load_config

__all__ = [
    "CACHE",
    "HIDDEN",
    "Step",
    "decoder_layers",
    "empty_model",
    "execution_order",
    "finished",
    "gives_tuples",
    "recorded",
]

HIDDEN, CACHE = object(), object()
"""Stand for the hidden states and the cache in a layer's noted arguments."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """What a layer is called with, `HIDDEN` and `CACHE` in place of what changes."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def call(self, layer: Any, hidden: torch.Tensor, cache: Any) -> torch.Tensor:
        """Run the layer."""
        stand = {id(HIDDEN): hidden, id(CACHE): cache}
        out = layer(
            *(stand.get(id(value), value) for value in self.args),
            **{name: stand.get(id(value), value) for name, value in self.kwargs.items()},
        )
        return out[0] if isinstance(out, tuple) else out


def empty_model(folder: Path, dtype: Any) -> Any:
    """A causal LM in evaluation mode whose parameters are on the meta device; buffers that are computed (rotary angles) are real.

    Args:
        folder: With its config.
        dtype: Of the weights; ``auto``: as the config says.

    Raises:
        xpert.errors.IncompatibleModelError: It is no causal LM that Transformers knows without running its code.
    """
    from transformers import AutoModelForCausalLM

    config = load_config(folder)
    chosen = getattr(config, "dtype", None) or torch.float32 if dtype == "auto" else dtype
    try:
        with _meta_parameters():
            model: Any = AutoModelForCausalLM.from_config(config, dtype=chosen, trust_remote_code=False)
    except ValueError as error:
        raise IncompatibleModelError(f"{folder}: expected a causal LM: {error}") from error
    return model.requires_grad_(False).eval()


@contextmanager
def _meta_parameters() -> Iterator[None]:
    """Parameters that are made inside take no memory."""
    plain = torch.nn.Module.register_parameter

    def register(self: torch.nn.Module, name: str, param: torch.nn.Parameter | None) -> None:
        plain(self, name, param)
        if param is not None and param.device.type != "meta":  # tied ones are registered again and stay one
            self._parameters[name] = torch.nn.Parameter(param.detach().to("meta"), requires_grad=False)

    torch.nn.Module.register_parameter = register
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = plain


def decoder_layers(model: Any) -> list[Any]:
    """The layers that a causal LM goes through one after another: the outermost list of as many modules as its config says.

    Raises:
        xpert.errors.IncompatibleModelError: There is none.
    """
    lists: dict[str, Any] = {}
    for name, module in decoder_of(model).named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in lists)
        if isinstance(module, torch.nn.ModuleList) and len(module) and not inside:
            lists[name] = module
    wanted = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    fitting = [module for module in lists.values() if len(module) == wanted]
    if len(fitting) != 1:
        raise IncompatibleModelError(
            f"{type(model).__name__}: expected one list of {wanted} layers, found {len(fitting)}: it cannot be streamed, use hf:"
        )
    return list(fitting[0])


@contextmanager
def _instead(modules: Sequence[Any], forward: Callable[..., Any]) -> Iterator[None]:
    """The modules with another forward pass."""
    try:
        for module in modules:
            module.forward = forward
        yield
    finally:
        for module in modules:
            module.__dict__.pop("forward", None)


def gives_tuples(model: Any, layers: Sequence[Any], inputs: Mapping[str, Any]) -> bool:
    """Whether the model expects tuples of its layers; tried out, for releases of Transformers differ.

    Args:
        model: A causal LM, all but its layers in place.
        layers: Its layers.
        inputs: Of its base model: two rows.

    Raises:
        xpert.errors.IncompatibleModelError: Something happens between the layers.
    """
    for as_tuple in (False, True):
        try:
            hidden, _, _ = recorded(model, layers, inputs, as_tuple=as_tuple)
            if finished(model, layers, hidden, as_tuple=as_tuple).shape == hidden.shape:
                return as_tuple
        except (IncompatibleModelError, RuntimeError, IndexError):
            continue
    raise IncompatibleModelError(
        f"{type(model).__name__}: its hidden states do not go from layer to layer unchanged: it cannot be streamed, use hf:"
    )


def recorded(
    model: Any, layers: Sequence[Any], inputs: Mapping[str, Any], *, as_tuple: bool
) -> tuple[torch.Tensor, list[Step], Any]:
    """What each layer would be called with, were they called with these inputs of the decoder.

    Args:
        model: A causal LM, all but its layers in place.
        layers: Its layers.
        inputs: Of its base model.
        as_tuple: Whether its layers give tuples.

    Returns:
        The hidden states before the first layer, one step a layer, and the cache, or None.

    Raises:
        xpert.errors.IncompatibleModelError: A layer is not given what the one before it gave, or is not called at all.
    """
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden = _hidden(args, kwargs)
        if seen and hidden is not _hidden(*seen[0]):
            raise IncompatibleModelError(f"{type(model).__name__}: something happens between its layers: use hf:")
        seen.append((args, kwargs))
        return (hidden,) if as_tuple else hidden

    with _instead(layers, forward):
        decoder_of(model)(**inputs)
    if len(seen) != len(layers):
        raise IncompatibleModelError(f"{type(model).__name__}: {len(seen)} of {len(layers)} layers are used: use hf:")
    hidden, cache = _hidden(*seen[0]), _cache_of(*seen[0])
    return hidden, [_step(args, kwargs, hidden, cache) for args, kwargs in seen], cache


def finished(model: Any, layers: Sequence[Any], hidden: torch.Tensor, *, as_tuple: bool) -> torch.Tensor:
    """What the model makes of the hidden states ``(B, T, D)`` that its last layer gives: the final norm, as a rule."""
    with _instead(layers, lambda *args, **kwargs: (hidden,) if as_tuple else hidden):
        return decoder_of(model)(inputs_embeds=hidden, use_cache=False).last_hidden_state


def execution_order(layer: Any, step: Step, hidden: torch.Tensor) -> list[Any] | None:
    """The modules with parameters of their own in the order in which a layer calls them; None where that cannot be told beforehand.

    Nothing is computed: the layer runs on the meta device. What it calls is known if each is called exactly once.
    """
    owners = [module for module in layer.modules() if module._parameters]
    order: list[Any] = []
    hooks = [owner.register_forward_pre_hook(lambda module, _: order.append(module)) for owner in owners]
    try:
        with torch.no_grad():
            _on_meta(step).call(layer, hidden.to("meta"), None)
    except Exception:  # a layer that looks at values, or has real buffers, cannot run there
        return None
    finally:
        for hook in hooks:
            hook.remove()
    return order if len(order) == len(owners) == len(set(order)) else None


def _hidden(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return args[0] if args else kwargs["hidden_states"]


def _cache_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    from transformers.cache_utils import Cache

    return next((value for value in (*args, *kwargs.values()) if isinstance(value, Cache)), None)


def _step(args: tuple[Any, ...], kwargs: Mapping[str, Any], hidden: Any, cache: Any) -> Step:
    def noted(value: Any) -> Any:
        if value is hidden:
            return HIDDEN
        return CACHE if cache is not None and value is cache else value

    return Step(
        args=tuple(noted(value) for value in args), kwargs={name: noted(value) for name, value in kwargs.items()}
    )


def _on_meta(step: Step) -> Step:
    def moved(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.to("meta")
        return tuple(moved(one) for one in value) if isinstance(value, tuple) else value

    return Step(
        args=tuple(moved(value) for value in step.args),
        kwargs={name: moved(value) for name, value in step.kwargs.items()},
    )
