"""Augmentations change what they should and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoploom.errors import UsageError
from shoploom.training.augment import (
    contrastive_loss,
    crop,
    drop_ngrams,
    drop_tokens,
    mask,
    reorder,
    swap_tokens,
    two_views,
)

ITEMS = np.arange(10, 20)
TEXT = "organic whole milk with extra cream in bottles"


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_is_a_part_in_a_row(seed: int) -> None:
    part = crop(ITEMS, np.random.default_rng(seed), share=0.6)
    assert part.tolist() == list(range(part[0], part[0] + 6))
    assert len(crop(ITEMS[:1], np.random.default_rng(seed), share=0.1)) == 1
    assert len(crop(ITEMS[:0], np.random.default_rng(seed))) == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_mask_hides_a_fixed_number_and_keeps_the_rest_in_place(seed: int) -> None:
    found = mask(ITEMS, np.random.default_rng(seed), share=0.35)
    assert (found == 0).sum() == 3
    assert (found[found != 0] == ITEMS[found != 0]).all()


@pytest.mark.parametrize("seed", range(20))
def test_reordering_shuffles_a_part_and_loses_nothing(seed: int) -> None:
    found = reorder(ITEMS, np.random.default_rng(seed), share=0.4)
    moved = np.flatnonzero(found != ITEMS)
    assert sorted(found.tolist()) == ITEMS.tolist()
    assert len(moved) == 0 or moved[-1] - moved[0] < 4


def test_every_place_can_be_hit() -> None:
    draws = np.random.default_rng(0)
    starts = {int(crop(ITEMS, draws, share=0.5)[0]) for _ in range(300)}
    assert starts == set(range(10, 16))


def test_nothing_is_changed_in_place() -> None:
    before, draws = ITEMS.copy(), np.random.default_rng(0)
    for function in (crop, mask, reorder):
        function(ITEMS, draws)[:] = -1
    two_views(ITEMS, draws)
    assert (before == ITEMS).all()


def test_views_are_different_and_the_same_again_with_the_same_seed() -> None:
    one, other = two_views(ITEMS, np.random.default_rng(3), token=-1)
    again = two_views(ITEMS, np.random.default_rng(3), token=-1)
    assert one.tolist() != other.tolist()
    assert [one.tolist(), other.tolist()] == [view.tolist() for view in again]
    with pytest.raises(UsageError, match="Did you mean 'crop'"):
        two_views(ITEMS, np.random.default_rng(0), kinds=("crpo",))


def test_contrastive_loss_by_hand() -> None:
    """Two examples along two axes, views alike: each looks for its partner (cosine 1) beside two others (cosine 0)."""
    views = torch.eye(2) * torch.tensor([[3.0], [5.0]])
    found = contrastive_loss(views, views, temperature=0.5)
    assert float(found) == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 2)), abs=1e-5)
    assert float(contrastive_loss(views, views.flip(0), temperature=0.5)) > float(found)


def test_words_are_dropped_at_the_stated_rate_and_one_stays() -> None:
    draws = np.random.default_rng(0)
    lengths = [len(drop_tokens(TEXT, draws, share=0.25).split()) for _ in range(2000)]
    assert np.mean(lengths) == pytest.approx(6.0, abs=0.1)
    assert drop_tokens(TEXT, draws, share=1.0) in TEXT.split()
    assert drop_tokens("", draws) == ""


def test_swaps_keep_all_words_nearly_in_place() -> None:
    words = TEXT.split()
    for seed in range(20):
        found = swap_tokens(TEXT, np.random.default_rng(seed), share=0.1).split()
        assert sorted(found) == sorted(words)
        assert sum(one != other for one, other in zip(found, words, strict=True)) == 2
    assert swap_tokens("milk", np.random.default_rng(0)) == "milk"


def test_ngrams_are_dropped_but_never_all() -> None:
    texts = [np.arange(40), np.array([7]), np.zeros(0, dtype=int)]
    found = drop_ngrams(texts, np.random.default_rng(0), share=0.9)
    assert 1 <= len(found[0]) < 15
    assert found[1].tolist() == [7]
    assert len(found[2]) == 0
    with pytest.raises(UsageError, match="share is 2"):
        drop_ngrams(texts, np.random.default_rng(0), share=2.0)
