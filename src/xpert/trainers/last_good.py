"""The parameters as they were when the loss was last finite: what is left when it no longer is."""

from __future__ import annotations

from collections.abc import Iterable

import torch

__all__ = ["LastGood"]


class LastGood:
    """A copy of parameters, refreshed before every step; for an adapter it is small beside the model.

    Args:
        parameters: What trains.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._copies: list[torch.Tensor] = []

    def keep(self) -> None:
        """Copy the parameters: they have just given a finite loss."""
        with torch.no_grad():
            if not self._copies:
                self._copies = [parameter.detach().clone() for parameter in self._parameters]
            else:
                torch.ops.aten._foreach_copy_(self._copies, self._parameters)

    def put_back(self) -> bool:
        """Put the copies in the parameters' place; False: there are none, since no loss has been finite."""
        if not self._copies:
            return False
        with torch.no_grad():
            torch.ops.aten._foreach_copy_(self._parameters, self._copies)
        return True
