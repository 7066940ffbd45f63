"""Trains a ``SequenceNet``: sequences of like length in one batch, every event but the last a question."""

# Shapes: B sequences, T events, S sequences in all, F attributes

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoploom.data.sequences import Sequences
from shoploom.model.sequence import Block, SequenceNet, sampled_softmax

BATCHES = 45
"""Fewer, larger batches learn less in the same number of epochs: .643 against .676 recall@20 on Yoochoose."""
FULL, LEAST = 150_000, 18
"""Few events are soon learned by heart: on 57,000 clicks 40 epochs lose .02 of recall@20 to 20."""
MOST_PLACES = 200
Heard = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True)
class SequenceRecipe:
    """How a net is trained.

    Args:
        epochs: Passes over all sequences at most; of fewer than ``FULL`` events there are fewer, ``LEAST`` at least.
        tokens: Events per batch at most; of few events there are at least ``BATCHES`` batches in an epoch.
        negatives: Drawn per batch, shared by all its questions.
        power: Of the popularity by which they are drawn; 0 is evenly.
        learning_rate, weight_decay: Of AdamW; the rate rises for a twentieth of the steps and falls as a cosine.
        few_events: With fewer than these a trained net starts again, which costs little and lets the newest events
            count in full, and other blocks are tried.
        dim, layers, heads, length, dropout, block: Of the net; ``suited`` reads more where sequences are long.
    """

    epochs: int = 40
    tokens: int = 4000
    negatives: int = 1024
    power: float = 0.5
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    few_events: int = 120_000
    dim: int = 64
    layers: int = 1
    heads: int = 1
    length: int = 50
    dropout: float = 0.4
    block: Block = "transformer"


def suited(recipe: SequenceRecipe, train: Sequences) -> SequenceRecipe:
    """The recipe, reading more where sequences are long.

    Its length becomes that of the sequence which is longer than three quarters of all, ``MOST_PLACES`` at most, and is
    never lowered.

    Example:
        >>> long = Sequences.of_lists([[0] * 80] * 4, num_items=1)
        >>> suited(SequenceRecipe(), long).length
        80
    """
    usual = float(np.quantile(train.lengths, 0.75)) if len(train) else 0.0
    return replace(recipe, length=max(recipe.length, int(min(usual, MOST_PLACES))))


def new_net(train: Sequences, recipe: SequenceRecipe, *, seed: int = 0) -> SequenceNet:
    """A net with random weights."""
    torch.manual_seed(seed)
    fields = np.zeros((train.num_items, 0), dtype=np.int64) if train.fields is None else train.fields
    return SequenceNet(
        train.num_items,
        torch.from_numpy(fields),
        dim=recipe.dim,
        layers=recipe.layers,
        heads=recipe.heads,
        length=recipe.length,
        dropout=recipe.dropout,
        block=recipe.block,
    )


def train_sequence_net(
    net: SequenceNet,
    train: Sequences,
    recipe: SequenceRecipe,
    *,
    seed: int = 0,
    share: float = 1.0,
    progress: Heard | None = None,
) -> SequenceNet:
    """Train a net on whole sequences; long ones are cut into windows, so that all of their events count.

    Args:
        net: Is changed; a trained one goes on from where it is.
        train: Whole sequences.
        recipe: Sizes and rates.
        seed: Of batches, negatives and dropout.
        share: Of the recipe's epochs and learning rate: less than 1 for a net that is trained already.
        progress: Told (step, steps, losses).
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 11])
    used = train.take(np.flatnonzero(train.lengths > 1)).windows(recipe.length + 1)
    if not len(used):
        return net.eval()
    chance = (np.bincount(used.items, minlength=train.num_items) + 1.0) ** recipe.power
    chance /= chance.sum()
    edges = np.cumsum(chance)
    log_q = torch.from_numpy(np.log(chance * len(chance)).astype(np.float32))
    epochs = max(1, round(min(recipe.epochs, max(LEAST, recipe.epochs * len(used.items) / FULL)) * share))
    tokens = int(np.clip(len(used.items) / BATCHES, 2 * recipe.length, recipe.tokens))
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )
    total = epochs * len(_batches(used.lengths, tokens, rng))
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate * share**0.5, total + epochs + 2, pct_start=0.05
    )
    step = 0
    net.train()
    for _ in range(epochs):
        for rows in _batches(used.lengths, tokens, rng):
            items, lengths = padded(used.take(rows), recipe.length + 1)
            real = torch.arange(items.shape[1] - 1)[None] < (lengths - 1)[:, None]
            vectors = net.vectors()
            states = net(vectors, items[:, :-1], lengths - 1)[real]
            negative = torch.from_numpy(np.searchsorted(edges, rng.random(recipe.negatives)).clip(max=len(edges) - 1))
            loss = sampled_softmax(vectors, states, items[:, 1:][real], negative, log_q)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            rate.step()
            step += 1
            if progress is not None:
                progress(min(step, total), total, {"next_item": float(loss.detach())})
    return net.eval()


def padded(sequences: Sequences, most: int) -> tuple[Tensor, Tensor]:
    """Items (B, T) of the last events, padded on the right with 0, and lengths (B,)."""
    cut = sequences.last(most)
    width = max(1, int(cut.lengths.max(initial=1)))
    table = np.zeros((len(cut), width), dtype=np.int64)
    column = np.arange(len(cut.items)) - np.repeat(cut.offsets[:-1], cut.lengths)
    table[cut.owners, column] = cut.items
    return torch.from_numpy(table), torch.from_numpy(cut.lengths)


def _batches(lengths: NDArray[np.int64], tokens: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Sequences of like length together, about ``tokens`` padded events in a batch, in random order."""
    order = np.lexsort((rng.random(len(lengths)), lengths))
    longest = lengths[order]
    batches, start = [], 0
    while start < len(order):
        far = min(len(order) - 1, start + tokens // int(longest[start]))
        end = start + max(1, tokens // int(longest[far]))
        batches.append(order[start:end])
        start = end
    return [batches[place] for place in rng.permutation(len(batches))]
