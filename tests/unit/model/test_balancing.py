"""Balancing methods against their closed forms, worked by hand or by a slow reference; solvers by their optimality."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from shoploom.errors import MissingExtraError, ShoploomError, UsageError
from shoploom.model.balancing import surgery
from shoploom.model.balancing.base import Adam
from shoploom.model.balancing.dwa import DWA
from shoploom.model.balancing.famo import FAMO
from shoploom.model.balancing.gradnorm import GradNorm
from shoploom.model.balancing.static import Static
from shoploom.model.balancing.uncertainty import Uncertainty
from shoploom.model.choose import make_balancer

CLOSE = pytest.approx


class Toy:
    """Losses a_k . theta + theta^T theta h_k / 2 + o_k, whose gradients are known: a_k + h_k theta."""

    def __init__(self, slopes, curvature=None, offset=None, theta=None):
        self.slopes = torch.tensor(slopes, dtype=torch.float64)
        count, size = self.slopes.shape
        self.curvature = torch.tensor(curvature if curvature is not None else [0.0] * count, dtype=torch.float64)
        self.offset = torch.tensor(offset if offset is not None else [1.0] * count, dtype=torch.float64)
        start = torch.tensor(theta if theta is not None else [0.0] * size, dtype=torch.float64)
        self.theta = torch.nn.Parameter(start)
        self.names = [f"t{place}" for place in range(count)]

    def losses(self):
        values = self.slopes @ self.theta + 0.5 * self.curvature * self.theta.square().sum() + self.offset
        return dict(zip(self.names, values.unbind(), strict=True))

    def gradients(self):
        return (self.slopes + self.curvature[:, None] * self.theta.detach()).numpy()

    def step(self, balancer, rate=0.1):
        """One step of gradient descent; returns the gradient."""
        self.theta.grad = None
        balancer.backward(self.losses(), parameters=[self.theta], last_shared=[self.theta])
        found = self.theta.grad.clone()
        with torch.no_grad():
            self.theta -= rate * found
        balancer.after_step(self.losses)
        return found.numpy()


CONFLICT = [[1.0, 0.2, 0.0], [-0.7, 0.5, 0.3], [0.1, -0.4, 2.0]]


# ---------------------------------------------------------------------------------------------------- static


def test_static_weighs_the_gradients():
    toy = Toy(CONFLICT)
    found = toy.step(Static(toy.names, weights={"t0": 0.5, "t2": 3.0}))
    np.testing.assert_allclose(found, 0.5 * np.array(CONFLICT[0]) + CONFLICT[1] + 3 * np.array(CONFLICT[2]), atol=1e-12)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"x": 1.0}, "task with a weight 'x' is unknown; known: a, b"),
        ({"a": -1.0}, "weight of task 'a' is -1.0; wanted 0 or more"),
        ({"a": math.nan}, "weight of task 'a' is nan"),
        ({"a": 0.0, "b": 0.0}, "weights of all tasks are 0"),
    ],
)
def test_static_refuses_weights_that_make_no_sense(weights, words):
    with pytest.raises(UsageError, match=words):
        Static(["a", "b"], weights=weights)


# ----------------------------------------------------------------------------------------------- uncertainty


def test_uncertainty_pulls_with_half_the_precision_and_learns_the_log_variance():
    toy = Toy(CONFLICT, offset=[2.0, 0.5, 1.0])
    balancer = Uncertainty(toy.names, rate=0.1)
    balancer.log_variance.copy_(torch.tensor([0.3, -0.2, 0.0], dtype=torch.float64))
    losses = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64)
    s = balancer.log_variance.clone().requires_grad_()
    slow = (0.5 * torch.exp(-s) * losses + 0.5 * s).sum()  # Eq. (7) with s = log sigma^2
    slow.backward()
    expected_step = -0.1 * s.grad / (s.grad.abs() + 1e-8)  # the first step of Adam
    found = toy.step(balancer)
    weights = 0.5 * np.exp(-np.array([0.3, -0.2, 0.0]))
    np.testing.assert_allclose(found, weights @ np.array(CONFLICT), atol=1e-10)
    np.testing.assert_allclose(balancer.log_variance, s.detach() + expected_step, atol=1e-7)


def test_uncertainty_ends_at_the_log_of_a_fixed_loss():
    toy = Toy([[0.0], [0.0]], offset=[4.0, 0.25])
    balancer = Uncertainty(toy.names, rate=0.05)
    for _ in range(1500):
        toy.step(balancer)
    np.testing.assert_allclose(balancer.log_variance, np.log([4.0, 0.25]), atol=1e-5)
    assert balancer.task_weights() == CLOSE({"t0": 1 / 8, "t1": 2.0}, abs=1e-4)  # 1 / (2 L)


# ------------------------------------------------------------------------------------------------------- dwa


def test_dwa_equals_its_formula_from_the_third_period_on():
    toy = Toy([[0.0], [0.0]])
    balancer = DWA(toy.names, temperature=2.0, steps=2)
    series = {"t0": [4.0, 2.0, 1.5, 1.5, 1.0, 1.0], "t1": [1.0, 1.0, 0.9, 0.7, 0.1, 0.1]}
    for place in range(4):
        assert balancer.task_weights() == {"t0": 1.0, "t1": 1.0}
        losses = {name: torch.tensor(one[place], requires_grad=True) for name, one in series.items()}
        balancer.backward(losses, parameters=[toy.theta])
        balancer.after_step(dict)
    ratios = np.array([1.5 / 3.0, 0.8 / 1.0])  # means of the second period over those of the first
    expected = 2 * np.exp(ratios / 2) / np.exp(ratios / 2).sum()
    np.testing.assert_allclose(list(balancer.task_weights().values()), expected, atol=1e-6)
    losses = {name: torch.tensor(one[4], requires_grad=True) for name, one in series.items()}
    balancer.backward(losses, parameters=[toy.theta])
    np.testing.assert_allclose([float(one.grad) for one in losses.values()], expected, atol=1e-6)


# -------------------------------------------------------------------------------------------------- gradnorm


def test_the_gradient_of_gradnorm_is_that_of_its_loss():
    balancer = GradNorm(["a", "b", "c"], alpha=1.5)
    w = torch.tensor([0.7, 1.5, 0.8], dtype=torch.float64, requires_grad=True)
    norms = torch.tensor([2.0, 0.5, 1.1], dtype=torch.float64)
    ratios = torch.tensor([0.9, 0.4, 1.3], dtype=torch.float64)
    sizes = w * norms
    target = (sizes.mean() * (ratios / ratios.mean()) ** 1.5).detach()
    (sizes - target).abs().sum().backward()  # Eq. (2), the target held constant
    np.testing.assert_allclose(balancer.gradient(w.detach(), norms, ratios), w.grad, atol=1e-12)


def test_gradnorm_with_alpha_0_makes_all_gradients_equally_long():
    toy = Toy([[3.0, 0.0], [0.0, 0.5]], offset=[100.0, 100.0])
    balancer = GradNorm(toy.names, alpha=0.0, rate=0.003)
    for _ in range(1200):
        toy.step(balancer, rate=0.0)
    weights = balancer.task_weights()
    assert sum(weights.values()) == CLOSE(2.0, abs=1e-9)
    assert 3.0 * weights["t0"] == CLOSE(0.5 * weights["t1"], abs=0.03)  # 2/7 and 12/7
    assert weights["t0"] == CLOSE(2 / 7, abs=0.01)


def test_gradnorm_measures_the_layer_it_is_given_and_no_other():
    early = torch.nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
    last = torch.nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
    scale = torch.tensor([1.0, 10.0], dtype=torch.float64)

    def losses():
        return {"a": (early * last * scale).sum() + 1.0, "b": (early.square() * last).sum() + 1.0}

    seen = []
    balancer = GradNorm(["a", "b"])
    original = balancer.gradient
    balancer.gradient = lambda weights, norms, ratios: seen.append(norms) or original(weights, norms, ratios)
    balancer.backward(losses(), parameters=[early, last], last_shared=[last])
    # d/d last: a: early * scale = (1, 10); b: early^2 = (1, 1). At ``early`` it would be (1, 10) and (2, 2).
    np.testing.assert_allclose(seen[0], [math.sqrt(101), math.sqrt(2)], atol=1e-12)


def test_a_task_that_does_not_reach_the_shared_layer_counts_for_nothing_in_gradnorm():
    balancer = GradNorm(["a", "b", "far"], alpha=1.5)
    three = [torch.tensor(one, dtype=torch.float64) for one in ([0.7, 1.5, 0.8], [2.0, 0.5, 0.0], [0.9, 0.4, 5.0])]
    found = balancer.gradient(*three)
    np.testing.assert_allclose(found[:2], balancer.gradient(*(one[:2] for one in three)), atol=1e-12)
    assert float(found[2]) == 0.0
    assert not balancer.gradient(torch.ones(3), torch.zeros(3), torch.ones(3)).any()


def test_gradnorm_without_a_shared_layer_says_so():
    toy = Toy(CONFLICT)
    with pytest.raises(UsageError, match="needs a layer that all tasks share"):
        GradNorm(toy.names).backward(toy.losses(), parameters=[toy.theta])


# ------------------------------------------------------------------------------------------------------ famo


def test_famo_descends_its_weighted_logarithms():
    toy = Toy(CONFLICT, offset=[2.0, 0.5, 1.0])
    balancer = FAMO(toy.names)
    balancer.logits.copy_(torch.tensor([0.4, 0.0, -0.3], dtype=torch.float64))
    z = np.exp([0.4, 0.0, -0.3]) / np.exp([0.4, 0.0, -0.3]).sum()
    c = 1 / (z / np.array([2.0, 0.5, 1.0])).sum()
    expected = (c * z / np.array([2.0, 0.5, 1.0])) @ np.array(CONFLICT)
    np.testing.assert_allclose(toy.step(balancer), expected, atol=1e-10)
    assert sum(balancer.task_weights().values()) == CLOSE(1.0)


def test_the_logits_of_famo_follow_what_autograd_says():
    balancer = FAMO(["a", "b", "c"], decay=0.01)
    logits = torch.tensor([0.4, 0.0, -0.3], dtype=torch.float64, requires_grad=True)
    fallen = torch.tensor([0.1, -0.02, 0.3], dtype=torch.float64)
    slow = torch.autograd.grad(logits.softmax(dim=0), logits, grad_outputs=fallen)[0] + 0.01 * logits.detach()
    np.testing.assert_allclose(balancer.gradient(logits.detach(), fallen), slow, atol=1e-12)


def test_famo_gives_more_weight_to_the_loss_that_falls_slower():
    # L = s theta^2 / 2 + 1 for s = 4 and .5: the first falls faster at equal logits
    toy = Toy([[0.0], [0.0]], curvature=[4.0, 0.5], offset=[1.0, 1.0], theta=[2.0])
    balancer = FAMO(toy.names)
    for _ in range(5):
        toy.step(balancer, rate=0.05)
    assert balancer.logits[1] > balancer.logits[0]


def test_famo_wants_losses_above_0():
    toy = Toy([[0.0], [0.0]], offset=[1.0, 0.0])
    with pytest.raises(UsageError, match=r"loss of task 't1' is 0\.0; use another method"):
        toy.step(FAMO(toy.names))


# -------------------------------------------------------------------------------------- one gradient per task


def weights_of(balancer):
    return np.array(list(balancer.task_weights().values()))


@pytest.fixture(autouse=True, scope="module")
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def library():
    pytest.importorskip("torchjd", reason="the extra [mtl] is not installed")


@pytest.mark.usefixtures("library")
class TestSurgery:
    def test_pcgrad_of_two_tasks_is_its_closed_form(self):
        one, two = np.array([1.0, 0.0]), np.array([-1.0, 2.0])
        toy = Toy([one.tolist(), two.tolist()])
        inner = one @ two
        expected = (one - inner / (two @ two) * two) + (two - inner / (one @ one) * one)
        np.testing.assert_allclose(toy.step(make_balancer("pcgrad", toy.names)), expected, atol=1e-6)

    def test_pcgrad_leaves_gradients_alone_that_do_not_conflict(self):
        toy = Toy([[1.0, 0.0], [0.5, 2.0]])
        np.testing.assert_allclose(toy.step(make_balancer("pcgrad", toy.names)), [1.5, 2.0], atol=1e-6)

    def test_imtl_g_has_equal_projections_on_all_gradients(self):
        toy = Toy(CONFLICT)
        balancer = make_balancer("imtl_g", toy.names)
        found = toy.step(balancer)
        projections = toy.gradients() @ found / np.linalg.norm(toy.gradients(), axis=1)
        np.testing.assert_allclose(projections, projections[0], atol=1e-5)
        assert weights_of(balancer).sum() == CLOSE(1.0, abs=1e-5)

    def test_upgrad_harms_no_task_and_is_the_mean_of_projections(self):
        toy = Toy(CONFLICT)
        found = toy.step(make_balancer("upgrad", toy.names))
        assert (toy.gradients() @ found > -1e-3).all()
        expected = np.mean([project(toy.gradients(), one) for one in toy.gradients()], axis=0)
        np.testing.assert_allclose(found, expected, atol=2e-3)  # the library adds 1e-4 to the diagonal

    def test_upgrad_of_gradients_that_agree_is_their_mean(self):
        toy = Toy([[1.0, 0.0], [0.5, 2.0]])
        np.testing.assert_allclose(toy.step(make_balancer("upgrad", toy.names)), [0.75, 1.0], atol=1e-5)

    def test_nash_solves_g_w_equal_to_one_over_w(self):
        toy = Toy(CONFLICT)
        balancer = make_balancer("nash", toy.names, options={"max_norm": 0})
        for _ in range(3):
            toy.step(balancer, rate=0.0)
        weights = weights_of(balancer)
        products = toy.gradients() @ toy.gradients().T
        np.testing.assert_allclose(products @ weights, 1 / weights, rtol=2e-3)  # the solver's own tolerance is .001

    def test_aligned_takes_the_smallest_principal_size_in_all_directions(self):
        toy = Toy(CONFLICT)
        found = toy.step(make_balancer("aligned", toy.names))
        left, sizes, right = np.linalg.svd(toy.gradients(), full_matrices=False)
        np.testing.assert_allclose(found, sizes.min() * (left @ right).T @ np.full(3, 1 / 3), atol=1e-5)

    def test_cagrad_is_the_best_for_the_worst_task_within_its_ball(self):
        toy = Toy(CONFLICT)
        found = toy.step(make_balancer("cagrad", toy.names, options={"c": 0.5}))
        gradients = toy.gradients()
        mean = gradients.mean(axis=0)
        radius = 0.5 * np.linalg.norm(mean)
        assert np.linalg.norm(found - mean) == CLOSE(radius, rel=1e-3)
        worst = (gradients @ found).min()
        rng = np.random.default_rng(0)
        for direction in rng.normal(size=(4000, 3)):
            other = mean + radius * direction / np.linalg.norm(direction)
            assert (gradients @ other).min() <= worst + 1e-3

    def test_cagrad_with_c_0_is_the_mean(self):
        toy = Toy(CONFLICT)
        found = toy.step(make_balancer("cagrad", toy.names, options={"c": 0.0}))
        np.testing.assert_allclose(found, np.mean(CONFLICT, axis=0), atol=1e-5)

    def test_own_parameters_get_their_own_gradient_and_tables_count_with_their_rows(self):
        table = torch.nn.Embedding(6, 2, sparse=True)
        own = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        rows = {"a": torch.tensor([0, 3, 3]), "b": torch.tensor([3, 5])}

        def losses():
            a, b = table(rows["a"]).sum(dim=0), table(rows["b"]).sum(dim=0)
            return {"a": (a * own).sum(), "b": -(b.sum())}

        balancer = make_balancer("imtl_g", ["a", "b"])
        balancer.backward(losses(), parameters=[table.weight, own])
        dense = {}
        for name in ("a", "b"):
            table.weight.grad_dense = torch.autograd.grad(losses()[name], table.weight)[0].to_dense()
            dense[name] = table.weight.grad_dense
        weights = balancer.task_weights()
        expected = weights["a"] * dense["a"] + weights["b"] * dense["b"]
        torch.testing.assert_close(table.weight.grad.to_dense(), expected)
        torch.testing.assert_close(own.grad, torch.autograd.grad(losses()["a"], own)[0])
        combined = expected.flatten()
        projections = [float(dense[name].flatten() @ combined / dense[name].norm()) for name in ("a", "b")]
        assert projections[0] == CLOSE(projections[1], abs=1e-5)

    def test_a_gradient_that_is_not_finite_names_its_task(self):
        theta = torch.nn.Parameter(torch.tensor([0.0]))
        balancer = make_balancer("upgrad", ["a", "b"])
        with pytest.raises(ShoploomError, match="gradient of task 'b' is not finite"):
            balancer.backward({"a": theta.sum(), "b": theta.sqrt().sum()}, parameters=[theta])


def project(rows, vector):
    """The nearest vector that has no negative product with any row, by trying all sets of active rows."""
    best, distance = None, np.inf
    for active in range(2 ** len(rows)):
        chosen = rows[[place for place in range(len(rows)) if active >> place & 1]]
        found = vector - (np.linalg.pinv(chosen) @ chosen @ vector if len(chosen) else 0.0)
        if (rows @ found > -1e-9).all() and np.linalg.norm(found - vector) < distance:
            best, distance = found, np.linalg.norm(found - vector)
    return best


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchjd", None)
    with pytest.raises(MissingExtraError, match=r'pip install "shoploom\[mtl\]"'):
        surgery.upgrad(["a", "b"])


# -------------------------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    ("name", "options", "weights", "words"),
    [
        ("unceratinty", {}, {}, "balancing method 'unceratinty' is unknown.*Did you mean 'uncertainty'"),
        ("uncertainty", {"temperature": 2}, {}, "'temperature' is unknown; known: rate.*'temperature' belongs to dwa"),
        ("famo", {}, {"a": 2.0}, "weights are given for a, but balancing 'famo' finds its own"),
        ("dwa", {"temperature": 0}, {}, "option 'temperature' of balancing 'dwa' is 0; wanted a number above 0"),
        ("dwa", {"steps": 2.5}, {}, "option 'steps' of balancing method 'dwa' is 2.5; wanted a whole number"),
        ("static", {"weights": 1}, {}, "'weights' is unknown"),
        ("gradnorm", {"alpha": -1}, {}, "option 'alpha' of balancing 'gradnorm' is -1; wanted a number 0 to 10"),
    ],
)
def test_contradictory_options_are_refused(name, options, weights, words):
    with pytest.raises(UsageError, match=words):
        make_balancer(name, ["a", "b"], options=options, weights=weights)


def test_own_adam_is_that_of_torch():
    slow = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimiser = torch.optim.Adam([slow], lr=0.1)
    fast, adam = slow.detach().clone(), Adam(2, rate=0.1)
    for step in range(5):
        gradient = torch.tensor([0.3 * step - 0.5, 1.0 / (step + 1)], dtype=torch.float64)
        slow.grad = gradient
        optimiser.step()
        adam.step(fast, gradient, torch.tensor([0, 1]))
    np.testing.assert_allclose(fast, slow.detach(), atol=1e-12)
