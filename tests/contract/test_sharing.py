"""What every sharing scheme has to do, over the whole table."""

from __future__ import annotations

import itertools

import pytest
import torch
from safetensors.torch import load_file, save_file

from shoploom.errors import UsageError
from shoploom.model.choose import make_sharing
from shoploom.model.sharing import SHARING
from shoploom.model.sharing.base import Sharing

TASKS = ["churn", "never married", "keys"]
DIM = 8
SCHEMES = [
    *((name, {}) for name in SHARING),
    ("ple", {"levels": 2}),
    ("mmoe", {"num": 1}),
    ("mmoe", {"rank": 0}),
    ("stem", {"num": 3}),
]


def test_there_are_schemes():
    assert len(SHARING) >= 5


@pytest.fixture(params=SCHEMES, ids=lambda one: "-".join([one[0], *one[1]]))
def scheme(request):
    return request.param


@pytest.fixture
def trunk(scheme):
    return build(scheme)


def build(scheme, *, dropout=0.0, seed=0):
    torch.manual_seed(seed)
    return make_sharing(scheme[0], DIM, tasks=TASKS, dropout=dropout, options=scheme[1])


def x_of(*shape):
    return torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(1))


def reached(trunk, task, x=None):
    """Names of the weights that a task's loss moves."""
    trunk.zero_grad(set_to_none=True)
    trunk(x_of(5) if x is None else x, task).square().sum().backward()
    return {name for name, one in trunk.named_parameters() if one.grad is not None and bool(one.grad.any())}


def test_it_is_a_sharing_scheme(trunk):
    assert isinstance(trunk, Sharing)


@pytest.mark.parametrize("shape", [(5,), (4, 3), (0,)])
def test_a_view_has_the_shape_of_what_is_viewed(trunk, shape):
    for task in TASKS:
        assert trunk(x_of(*shape), task).shape == (*shape, DIM)


def test_views_equal_single_views(trunk):
    x = x_of(4, 3)
    for tasks in (TASKS, TASKS[::-1], TASKS[1:2]):
        found = trunk.views(x, tasks)
        assert list(found) == tasks
        for task, view in found.items():
            torch.testing.assert_close(view, trunk(x, task), atol=1e-6, rtol=1e-5)
    assert trunk.views(x, []) == {}


def test_one_seed_gives_the_same_numbers(scheme):
    x = x_of(6)
    one, two, other = build(scheme), build(scheme), build(scheme, seed=1)
    for task in TASKS:
        assert torch.equal(one(x, task), two(x, task))
        assert not torch.equal(one(x, task), other(x, task))


def test_saving_and_loading_changes_nothing(scheme, trunk, tmp_path):
    save_file(trunk.state_dict(), tmp_path / "weights.safetensors")
    other = build(scheme, seed=1)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    for task in TASKS:
        assert torch.equal(trunk(x_of(6), task), other(x_of(6), task))


def test_the_input_is_not_changed(trunk):
    x = x_of(6)
    before = x.clone()
    trunk.views(x, TASKS)
    trunk.gates(x, TASKS[0])
    assert torch.equal(x, before)


def test_an_unknown_task_is_an_error_that_names_the_nearest(trunk):
    for call in (
        lambda: trunk(x_of(2), "chrun"),
        lambda: trunk.views(x_of(2), ["chrun"]),
        lambda: trunk.gates(x_of(2), "chrun"),
        lambda: trunk.own_parameters("chrun"),
    ):
        with pytest.raises(UsageError, match=r"'chrun' is unknown.*Did you mean 'churn'"):
            call()


def test_a_task_does_not_move_what_is_another_ones(trunk):
    for task, other in itertools.permutations(TASKS, 2):
        reached(trunk, task)
        for weight in trunk.own_parameters(other):
            assert weight.grad is None or not weight.grad.any()


def test_a_task_moves_all_that_is_its_own_and_the_last_shared_layer(trunk):
    for task in TASKS:
        reached(trunk, task)
        for weight in trunk.own_parameters(task):
            assert weight.grad is not None
        for weight in trunk.last_shared():
            assert weight.grad is not None
            assert bool(weight.grad.any())


def test_own_parts_and_the_last_shared_layer_are_apart(trunk):
    owned = [id(weight) for task in TASKS for weight in trunk.own_parameters(task)]
    assert len(owned) == len(set(owned))
    assert not {id(one) for one in trunk.last_shared()} & set(owned)


def test_shares_of_a_gate_add_up_to_1(trunk):
    for task in TASKS:
        gates = trunk.gates(x_of(4, 3), task)
        if gates is None:
            assert trunk.experts(task) == ()
            continue
        assert gates.shape == (4, 3, len(trunk.experts(task)))
        assert bool((gates >= 0).all())
        torch.testing.assert_close(gates.sum(dim=-1), torch.ones(4, 3))


def test_without_training_there_is_no_dropout(scheme):
    trunk = build(scheme, dropout=0.5)
    x = x_of(50)
    trunk.eval()
    assert torch.equal(trunk(x, TASKS[0]), trunk(x, TASKS[0]))
    trunk.train()
    assert not torch.equal(trunk(x, TASKS[0]), trunk(x, TASKS[0]))


def test_none_shares_nothing():
    trunk = build(("none", {}))
    used = {task: reached(trunk, task) for task in TASKS}
    for one, other in itertools.combinations(TASKS, 2):
        assert not used[one] & used[other]
    assert set().union(*used.values()) == {name for name, _ in trunk.named_parameters()}
    assert trunk.last_shared() == []


@pytest.mark.parametrize("name", [one for one in SHARING if one != "none"])
def test_the_others_share_something(name):
    trunk = build((name, {}))
    assert reached(trunk, TASKS[0]) & reached(trunk, TASKS[1])
    assert trunk.last_shared()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("mmeo", {}, "sharing scheme 'mmeo' is unknown.*Did you mean 'mmoe'"),
        ("ple", {"levels": 3}, "option 'levels' of the sharing scheme is 3; wanted 1 to 2"),
        ("mmoe", {"num": 0}, "option 'num' of the sharing scheme is 0"),
        ("mmoe", {"num": 1.5}, r"option 'num' of sharing scheme 'mmoe' is 1\.5; wanted a whole number"),
        ("mmoe", {"levels": 2}, "'levels' is unknown; known: hidden, num, rank.*'levels' belongs to ple"),
        ("shared_bottom", {"dropout": 0.5}, "'dropout' is unknown"),
    ],
)
def test_contradictory_options_are_refused(name, options, words):
    with pytest.raises(UsageError, match=words):
        make_sharing(name, DIM, tasks=TASKS, options=options)


def test_a_task_named_like_a_part_of_torch_works(scheme):
    torch.manual_seed(0)
    trunk = make_sharing(scheme[0], DIM, tasks=["forward", "training", "a.b", "1"], options=scheme[1])
    assert len({*trunk.state_dict()}) > 0
    assert {task: view.shape for task, view in trunk.views(x_of(2), ["a.b", "1"]).items()}.keys() == {"a.b", "1"}
