"""The network as a member: self-attention over the prefix."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch

from shoploom.data.arrays import F32
from shoploom.data.sequences import Sequences
from shoploom.ensemble.members.storage import load_state, save_state
from shoploom.model.sequence import Block, SequenceNet
from shoploom.training.sequence import Heard, SequenceRecipe, new_net, padded, suited, train_sequence_net

OTHERS: tuple[Block, ...] = ("gru",)
"""Blocks that are tried, too, with few events: on short sessions a recurrent one may win (recall@20 .685 to .674)."""
AGAIN, MORE = 0.2, 5.0
"""Else the share of the epochs for what came since: MORE times the share of new events, AGAIN at least."""


class Network:
    """A ``SequenceNet``; its scores are probabilities over all items.

    Args:
        recipe: How it is trained.
        progress: Told about the steps.
    """

    name: ClassVar[str] = "network"

    def __init__(self, recipe: SequenceRecipe | None = None, progress: Heard | None = None) -> None:
        self.recipe = recipe or SequenceRecipe()
        self.progress = progress
        self.net: SequenceNet | None = None
        self.events = 0

    def fit(self, train: Sequences, *, seed: int = 0) -> None:
        """Train from scratch; of many events, go on from the weights of an earlier fit with the same items."""
        count = len(train.items)
        if self.net is None or count < self.recipe.few_events:
            self.recipe = suited(self.recipe, train)
            net, share = new_net(train, self.recipe, seed=seed), 1.0
        else:
            net, share = self.net, float(np.clip(MORE * (1.0 - self.events / count), AGAIN, 1.0))
        self.net = train_sequence_net(net, train, self.recipe, seed=seed, share=share, progress=self.progress)
        self.events = count

    def variants(self, train: Sequences) -> list[Network]:
        """The same with other blocks, if there are few events."""
        if len(train.items) >= self.recipe.few_events:
            return []
        blocks = [block for block in OTHERS if block != self.recipe.block]
        return [Network(replace(self.recipe, block=block), self.progress) for block in blocks]

    @torch.no_grad()
    def score(self, prefixes: Sequences) -> F32:
        """(B, I) softmax; 0 for an empty prefix."""
        assert self.net is not None, "fit first"
        items, lengths = padded(prefixes, self.recipe.length)
        vectors = self.net.vectors()
        states = self.net(vectors, items, lengths)[torch.arange(len(items)), (lengths - 1).clamp(min=0)]
        scores: F32 = torch.softmax(states @ vectors.T, dim=1).numpy()
        return scores * (prefixes.lengths > 0)[:, None].astype(np.float32)

    def save(self, folder: Path) -> None:
        """Weights, recipe and how much was learned from."""
        assert self.net is not None, "fit first"
        settings = {"recipe": asdict(self.recipe), "events": self.events}
        save_state(folder, settings, {name: one.numpy() for name, one in self.net.state_dict().items()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The saved net."""
        settings, arrays = load_state(folder)
        one = cls(SequenceRecipe(**settings["recipe"]))
        one.events = settings["events"]
        count = len(arrays["items.weight"])
        nothing = Sequences(np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64), count)
        nothing = Sequences(nothing.items, nothing.offsets, count, fields=arrays["fields"] - 1)
        one.net = new_net(nothing, one.recipe)
        one.net.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        one.net.eval()
        return one
