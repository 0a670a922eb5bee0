"""The token classes of an automaton on a device."""

from __future__ import annotations

import weakref
from functools import cached_property

import numpy as np
import torch

from structdiff.tokens.automaton import TokenAutomaton

FEW = 256
"""Classes of at most so many tokens are reduced by one warp each."""


class Classes:
    """The token classes of an automaton (arrays: see `TokenAutomaton`) and, made when they are asked for, their tensors
    on a device."""

    def __init__(self, automaton: TokenAutomaton, device: torch.device | str) -> None:
        self.class_of, self.class_at, self.class_token = automaton.class_of, automaton.class_at, automaton.class_token
        self.count, self.device = automaton.classes, torch.device(device)

    def _placed(self, array: np.ndarray, dtype: type) -> torch.Tensor:
        return torch.from_numpy(array.astype(dtype)).to(self.device)

    @cached_property
    def of(self) -> torch.Tensor:
        """int64[V]: the class of each token id."""
        return self._placed(self.class_of, np.int64)

    @cached_property
    def at(self) -> torch.Tensor:
        """int32[C + 1]: where the tokens of each class begin."""
        return self._placed(self.class_at, np.int32)

    @cached_property
    def token(self) -> torch.Tensor:
        """int32[V]: the token ids, class by class."""
        return self._placed(self.class_token, np.int32)

    @cached_property
    def by_size(self) -> tuple[torch.Tensor, torch.Tensor]:
        """int32: the classes of more than `FEW` tokens, the largest first; the others."""
        size = np.diff(self.class_at)
        order = np.argsort(-size, kind="stable")
        large = int((size > FEW).sum())
        return self._placed(order[:large], np.int32), self._placed(order[large:], np.int32)


_KNOWN: weakref.WeakKeyDictionary[TokenAutomaton, dict[torch.device, Classes]] = weakref.WeakKeyDictionary()


def classes_on(automaton: TokenAutomaton, device: torch.device) -> Classes:
    """The classes of an automaton on a device, the same object for all rows."""
    known = _KNOWN.setdefault(automaton, {})
    if device not in known:
        known[device] = Classes(automaton, device)
    return known[device]
