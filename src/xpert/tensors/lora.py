"""Exact algebra of LoRA adapters: the sum of deltas is the concatenation of their factors; compressed to a rank on request.

Source: Hu et al., "LoRA", 2021 (arXiv 2106.09685): ``W' = W + s B A`` with ``s = alpha / r``; Kalajdzievski, "rsLoRA", 2023
(arXiv 2312.03732): ``s = alpha / sqrt(r)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from xpert.errors import IncompatibleModelError

__all__ = [
    "AdapterExtras",
    "LoraAdapter",
    "LoraFactors",
    "TokenRows",
    "compress",
    "concatenate",
    "pattern_value",
    "stacked",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoraFactors:
    """One module's low-rank update ``scale * B A``.

    Attributes:
        a: ``(r, in)``.
        b: ``(out, r)``.
        scale: The factor on the product.
    """

    a: torch.Tensor
    b: torch.Tensor
    scale: float

    @property
    def rank(self) -> int:
        """``r``."""
        return self.a.shape[0]

    def delta(self) -> torch.Tensor:
        """``(out, in)`` float32: what is added to a linear layer's weight (to its transpose with ``fan_in_fan_out``)."""
        return self.scale * (self.b.float() @ self.a.float())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenRows:
    """Rows of an embedding that an adapter replaces (PEFT's trainable tokens).

    Attributes:
        indices: ``(n,)`` int64, in ascending order.
        rows: ``(n, width)`` what stands there.
    """

    indices: torch.Tensor
    rows: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdapterExtras:
    """What an adapter holds beside factors of linear layers.

    Attributes:
        embeddings: Modules that are embeddings: their weight ``(V, width)`` is the update's transpose.
        magnitudes: DoRA: module to ``(out,)`` norms that the rows of the updated weight get.
        stored: Name of a tensor of the base to what replaces it before the update: biases, modules that were saved whole.
        tokens: Embedding to its replaced rows.
        bias: ``bias`` of its config.
        saved: ``modules_to_save`` of its config.
        tied: Whether what changes the embedding of a base with tied weights changes its output layer alike
            (``ensure_weight_tying``); replaced rows always do.
    """

    embeddings: frozenset[str] = frozenset()
    magnitudes: Mapping[str, torch.Tensor] = field(default_factory=dict)
    stored: Mapping[str, torch.Tensor] = field(default_factory=dict)
    tokens: Mapping[str, TokenRows] = field(default_factory=dict)
    bias: str = "none"
    saved: tuple[str, ...] = ()
    tied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoraAdapter:
    """A LoRA adapter as mathematics.

    Attributes:
        base: The base that it names, or None.
        modules: Name of a module of the base to its update.
        fan_in_fan_out: Whether the base's weights are stored transposed, ``(in, out)``, as GPT-2's.
        targets: ``target_modules`` as its config has them, or None where they are the modules' full names.
        kernels: Of modules that are convolutions, height and width of their kernels; their factors are matrices over these:
            ``(r, in * height * width)`` and ``(out, r)``.
        extras: What is not a factor of a linear layer.
    """

    base: str | None
    modules: Mapping[str, LoraFactors]
    fan_in_fan_out: bool = False
    targets: str | tuple[str, ...] | None = None
    kernels: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    extras: AdapterExtras = field(default_factory=AdapterExtras)

    def delta(self, module: str) -> torch.Tensor:
        """``(out, in)`` float32 update of a module.

        Raises:
            xpert.errors.IncompatibleModelError: The adapter does not change this module.
        """
        if module not in self.modules:
            raise IncompatibleModelError(f"the adapter does not change module {module}")
        return self.modules[module].delta()


def stacked(factors: Sequence[LoraFactors | None], columns: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Updates of one module by several adapters as two batches of matrices, ``delta_g = (A_g B_g)^T``.

    Ranks may differ: the smaller ones are padded with zeros, which changes nothing.

    Args:
        factors: ``G`` updates; None: the adapter does not change the module.
        columns: ``in``, width of the module's input.
        rows: ``out``, width of its output.

    Returns:
        ``A (G, in, r)`` and ``B (G, r, out)``, float32; the scale is in B.

    Raises:
        xpert.errors.IncompatibleModelError: An update has another shape.
    """
    rank = max(part.rank for part in factors if part is not None)
    a, b = torch.zeros(len(factors), columns, rank), torch.zeros(len(factors), rank, rows)
    for g, part in enumerate(factors):
        if part is None:
            continue
        if (part.b.shape[0], part.a.shape[1]) != (rows, columns):
            came = (part.b.shape[0], part.a.shape[1])
            raise IncompatibleModelError(f"an update of shape {came} for a module of shape {(rows, columns)}")
        a[g, :, : part.rank] = part.a.float().T
        b[g, : part.rank] = part.scale * part.b.float().T
    return a, b


def concatenate(adapters: Sequence[LoraAdapter], weights: Sequence[float]) -> LoraAdapter:
    """The adapter whose delta is ``sum_i w_i delta_i``, exactly: A stacked on A, ``w_i s_i B`` beside B.

    Adding factors separately is not the sum of the products; concatenating them is. A module that some adapters do not change
    gets the others' updates; all are padded with zeros to one rank, so that plain PEFT reads the result. Its scale is the
    adapters' own where they agree, so that it trains on as they did, else 1. Extras but for embeddings are not summed here.

    Args:
        adapters: Adapters of one base.
        weights: One each, of any sign.

    Raises:
        xpert.errors.IncompatibleModelError: Shapes differ, or storage orders.
    """
    if not adapters or len(adapters) != len(weights):
        raise ValueError(f"expected a weight for each of {len(adapters)} adapters (at least one), got {len(weights)}")
    if len({adapter.fan_in_fan_out for adapter in adapters}) > 1:
        raise IncompatibleModelError(
            "adapters store weights in different orders (fan_in_fan_out): they are of different bases"
        )
    names = sorted({name for adapter in adapters for name in adapter.modules})
    parts = {
        name: [
            (w, adapter.modules[name]) for adapter, w in zip(adapters, weights, strict=True) if name in adapter.modules
        ]
        for name in names
    }
    rank = max(sum(factors.rank for _, factors in parts[name]) for name in names)
    kernels: dict[str, tuple[int, int]] = {}
    for adapter in adapters:
        if any(kernels.get(name, kernel) != kernel for name, kernel in adapter.kernels.items()):
            raise IncompatibleModelError("adapters have kernels of different sizes in one module: not of one base")
        kernels |= adapter.kernels
    same = all(adapter.modules.keys() == adapters[0].modules.keys() for adapter in adapters)
    scales = {factors.scale for adapter in adapters for factors in adapter.modules.values()}
    scale = scales.pop() if len(scales) == 1 else 1.0
    embeddings = frozenset().union(*(adapter.extras.embeddings for adapter in adapters))
    return LoraAdapter(
        base=adapters[0].base,
        modules={name: _stack(name, parts[name], rank, scale) for name in names},
        fan_in_fan_out=adapters[0].fan_in_fan_out,
        targets=adapters[0].targets if same else None,
        kernels=kernels,
        extras=AdapterExtras(embeddings=embeddings),
    )


def compress(adapter: LoraAdapter, rank: int) -> tuple[LoraAdapter, float]:
    """The nearest adapter of a lower rank, and how far it is: the Frobenius norm of what is lost over that of all updates.

    The product ``B A`` is never formed: with QR of both factors, its singular values are those of an ``(r, r)`` matrix.

    Source: Eckart and Young, 1936 (the truncated singular value decomposition is the nearest matrix of a rank).

    Args:
        adapter: Of one scale, such as `concatenate` gives.
        rank: At least 1; modules of no higher rank are kept as they are, padded with zeros.
    """
    lost = whole = 0.0
    modules: dict[str, LoraFactors] = {}
    for name, factors in adapter.modules.items():
        q_b, r_b = torch.linalg.qr(factors.b.double())
        q_a, r_a = torch.linalg.qr(factors.a.double().T)
        u, values, v = torch.linalg.svd(r_b @ r_a.T)
        energy = (factors.scale * values) ** 2
        lost, whole = lost + float(energy[rank:].sum()), whole + float(energy.sum())
        root = values[:rank].sqrt()
        a, b = (root[:, None] * (v[:rank] @ q_a.T)).float(), ((q_b @ u[:, :rank]) * root).float()
        short = rank - root.shape[0]
        modules[name] = replace(
            factors,
            a=torch.cat([a, torch.zeros(max(short, 0), a.shape[1])]),
            b=torch.cat([b, torch.zeros(b.shape[0], max(short, 0))], 1),
        )
    return replace(adapter, modules=modules), (lost / whole) ** 0.5 if whole else 0.0


def pattern_value(pattern: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    """The value of the first key that matches the end of a module's name, as PEFT reads patterns."""
    return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", name)), otherwise)


def _stack(name: str, parts: Sequence[tuple[float, LoraFactors]], rank: int, scale: float) -> LoraFactors:
    shapes = {(factors.b.shape[0], factors.a.shape[1]) for _, factors in parts}
    if len(shapes) > 1:
        raise IncompatibleModelError(f"module {name}: updates of different shapes {sorted(shapes)}: not of one base")
    (rows, columns), used = shapes.pop(), sum(factors.rank for _, factors in parts)
    a = [factors.a.float() for _, factors in parts]
    b = [weight * (factors.scale / scale) * factors.b.float() for weight, factors in parts]
    return LoraFactors(
        a=torch.cat([*a, torch.zeros(rank - used, columns)]),
        b=torch.cat([*b, torch.zeros(rows, rank - used)], 1),
        scale=scale,
    )
