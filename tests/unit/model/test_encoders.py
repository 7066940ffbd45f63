from __future__ import annotations

import numpy as np
import pytest
import torch

from shoploom.features.pipeline import FeaturePipeline
from shoploom.model.encoders.customer import CustomerEncoder, DecayedSums, VisitBatch
from shoploom.model.encoders.item import ItemBatch, ItemEncoder
from shoploom.model.encoders.own import OwnItemView
from tests.shops import make_shop


@pytest.fixture(scope="module")
def encoded():
    shop = make_shop()
    pipeline = FeaturePipeline.fit(shop)
    torch.manual_seed(0)
    encoder = ItemEncoder(
        num_ids=len(shop.items),
        level_sizes=[len(one) for one in pipeline.items.levels],
        num_brands=len(pipeline.items.brands),
        buckets=pipeline.items.buckets,
        dim=8,
    ).eval()
    return encoder, pipeline.items.transform(shop)


@pytest.mark.parametrize(
    ("field", "changed"), [("price", "numbers"), ("category", "levels"), ("brand", "brand"), ("id", "ids")]
)
def test_a_hidden_field_cannot_be_seen(encoded, field, changed):
    encoder, arrays = encoded
    batch = ItemBatch.of(arrays, np.arange(10), 10)
    other = ItemBatch(**{name: getattr(batch, name).clone() for name in batch.__dataclass_fields__})
    if changed == "numbers":
        other.numbers[:, 0] += 3
        other.numbers[:, 2] = 1
    else:
        getattr(other, changed)[:] = getattr(other, changed).flip(0)
    hidden = encoder(batch, frozenset({field}))
    assert torch.allclose(hidden, encoder(other, frozenset({field})))
    assert not torch.allclose(encoder(batch), encoder(other))


def test_an_unknown_field_cannot_be_hidden(encoded):
    encoder, arrays = encoded
    with pytest.raises(ValueError, match=r"cannot hide \['colour'\]"):
        encoder(ItemBatch.of(arrays, np.arange(2), 2), frozenset({"colour"}))


def test_kept_ids_get_no_gradient(encoded):
    encoder, arrays = encoded
    encoder.zero_grad()
    encoder(ItemBatch.of(arrays, np.arange(4), 40), keep_ids=True).sum().backward()
    assert encoder.id_table.weight.grad is None
    assert encoder.brand_table.weight.grad is not None


@pytest.fixture
def view(encoded):
    _, arrays = encoded
    torch.manual_seed(1)
    sizes = [int(arrays.levels[:, level].max()) for level in range(arrays.levels.shape[1])]
    own = ItemEncoder(
        num_ids=0, level_sizes=sizes, num_brands=int(arrays.brand.max()), buckets=int(arrays.tokens.max()) + 1, dim=8
    )
    return OwnItemView(own).eval()


def test_a_view_of_its_own_reads_the_shared_vectors_and_does_not_move_them(encoded, view):
    encoder, arrays = encoded
    batch = ItemBatch.of(arrays, np.arange(6), 40)
    encoder.zero_grad()
    shared = encoder(batch)
    (view(batch, shared) ** 3).sum().backward()
    assert all(one.grad is None for one in encoder.parameters())
    assert float(view.own.brand_table.weight.grad.abs().sum()) > 0
    assert float(view.read.weight.grad.abs().sum()) > 0
    assert not torch.allclose(view(batch, shared), view(batch, shared.flip(0)))


def test_a_view_of_its_own_knows_products_without_an_id_and_hides_what_it_must(encoded, view):
    _, arrays = encoded
    batch = ItemBatch.of(arrays, np.arange(6), 3)  # the other three are cold
    assert int((batch.ids == 0).sum()) == 3
    shared = torch.zeros(6, 8)
    other = ItemBatch(**{name: getattr(batch, name).clone() for name in batch.__dataclass_fields__})
    other.levels[:] = other.levels.flip(0)
    assert not torch.allclose(view(batch, shared), view(other, shared))
    hidden = frozenset({"category"})
    assert torch.equal(view(batch, shared, hidden), view(other, shared, hidden))


def visits(seed: int = 0) -> VisitBatch:
    torch.manual_seed(seed)
    return VisitBatch(
        vectors=torch.randn(2, 5, 8),
        numbers=torch.rand(2, 5, 16),
        time=torch.tensor([[-50.0, -40.0, -30.0, -20.0, -10.0], [-9.0, -5.0, torch.inf, torch.inf, torch.inf]]),
        amount=torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [7.0, 8.0, 0.0, 0.0, 0.0]]),
        as_of=torch.tensor([[-25.0, 0.0], [-25.0, 0.0]]),
    )


def test_the_state_as_of_a_day_ignores_everything_later():
    encoder = CustomerEncoder(dim=8, num_numbers=16, layers=2, heads=2).eval()
    batch = visits()
    before = encoder(batch).vector
    batch.vectors[0, 3:] += 10
    batch.amount[0, 3:] *= 5
    batch.numbers[0, 3:] += 1
    after = encoder(batch).vector
    assert torch.allclose(before[0, 0], after[0, 0], atol=1e-6)
    assert not torch.allclose(before[0, 1], after[0, 1])


def test_a_visit_at_the_very_moment_does_not_count():
    encoder = CustomerEncoder(dim=8, num_numbers=16, layers=1, heads=2).eval()
    batch = visits()
    moved = VisitBatch(batch.vectors, batch.numbers, batch.time, batch.amount, torch.tensor([[-30.0], [-30.0]]))
    state = encoder(moved).vector
    moved.vectors[0, 2] += 10
    assert torch.allclose(state, encoder(moved).vector, atol=1e-6)


def test_visits_are_hidden_while_learning_alone():
    torch.manual_seed(0)
    encoder = CustomerEncoder(dim=8, num_numbers=16, layers=1, heads=2, dropout=0.0, hidden_visits=0.5)
    batch = visits()
    drawn = [encoder.train()(batch) for _ in range(6)]
    assert len({one.vector[0, 1].sum().item() for one in drawn}) > 1
    assert all(torch.equal(one.rates, drawn[0].rates) for one in drawn)  # what was paid is paid
    whole = [encoder.eval()(batch).vector for _ in range(2)]
    assert torch.equal(*whole)
    encoder.hidden_visits = 0.0
    assert torch.equal(encoder.train()(batch).vector, whole[0])


def test_decayed_sums_are_weighted_by_age():
    with torch.no_grad():
        sums, even = DecayedSums((10.0,))(torch.tensor([[-10.0, 0.0]]), torch.tensor([[0.0]]), torch.ones(1, 2, 1))
    assert float(sums) == pytest.approx(np.exp(-1), rel=1e-5)
    assert float(even) == pytest.approx(10 * (1 - np.exp(-1.4)), rel=1e-5)
