"""Right optimisers in many styles: those of torch and optax, and numpy in other orders of the same formulas."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from backends.base import Adam, Array, Momentum, Network, Optimizer
from backends.conformance.cases import KINDS, Case
from backends.conformance.complete import Complete
from backends.conformance.optimizers import judge_step_from, judge_updates, named
from backends.conformance.report import Finding


class TorchOptim(Complete):
    """`torch.optim.SGD` and `torch.optim.AdamW`, a tensor at a time."""

    module, draws = "torch", 12
    fused = False

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        import torch

        if not moments:
            return super().advance(w, g, moments, t, rate)
        rule, tensor = self.optimizer, torch.from_numpy(w.copy())
        tensor.grad = torch.from_numpy(g.copy())
        kept = [torch.from_numpy(m.copy()) for m in moments]
        rate = float(rate)
        theirs: torch.optim.Optimizer
        if isinstance(rule, Adam):
            decay = rule.weight_decay
            theirs = torch.optim.AdamW([tensor], 1.0, (rule.beta1, rule.beta2), rule.epsilon, decay, fused=self.fused)
            step = torch.tensor(float(t - 1))
            theirs.state[tensor] = {"step": step, "exp_avg": kept[0], "exp_avg_sq": kept[1]}
        else:
            assert isinstance(rule, Momentum)
            theirs = torch.optim.SGD([tensor], 1.0, momentum=rule.momentum)
            kept = kept if rule.momentum else [tensor.grad]  # it then keeps none
            theirs.state[tensor] = {"momentum_buffer": kept[0]}
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
        return tensor.numpy(), tuple(m.numpy() for m in kept)


class TorchFusedOptim(TorchOptim):
    """The fused kernels of torch's optimisers."""

    fused = True


class Optax(Complete):
    """`optax.sgd` and `optax.adamw`, not compiled."""

    module, draws = "optax", 2

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        import jax
        import optax

        rule, rate = self.optimizer, float(rate)
        with jax.enable_x64(self.dtype == "float64"):
            if not moments:
                return np.array(optax.apply_updates(w, optax.sgd(rate).update(g, optax.sgd(rate).init(w))[0])), ()
            if isinstance(rule, Adam):
                theirs = optax.adamw(rate, rule.beta1, rule.beta2, rule.epsilon, weight_decay=rule.weight_decay)
                names = {"mu": moments[0], "nu": moments[1], "count": jax.numpy.int32(t - 1)}
            else:
                assert isinstance(rule, Momentum)
                theirs = optax.sgd(rate, momentum=rule.momentum)
                names = {"trace": moments[0]}
            first, *rest = theirs.init(w)
            changes, state = theirs.update(g, (first._replace(**names), *rest), w)
            kept = [getattr(state[0], name) for name in names if name != "count"]
            return np.array(optax.apply_updates(w, changes)), tuple(np.array(m) for m in kept)


class InParts(Complete):
    """Adam and momentum in numpy, with parts that may be written in another way."""

    module, draws = "numpy", 25

    def mean(self, beta: float, m: Array, g: Array) -> Any:
        """Return the mean, moved towards ``g``."""
        return beta * m + (1 - beta) * g

    def corrections(self, rule: Adam, t: int, real: Any) -> tuple[Any, Any]:
        """Return ``1 - beta^t``."""
        return rule.corrections(t)

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        rule, real = self.optimizer, w.dtype.type
        if isinstance(rule, Momentum):
            return self.descend(w, g, moments[0], real(rule.momentum), rate)
        if not isinstance(rule, Adam):
            return super().advance(w, g, moments, t, rate)
        m, v = self.mean(rule.beta1, moments[0], g), self.mean(rule.beta2, moments[1], g * g)
        return self.move(w, m, v, *self.corrections(rule, t, real), rule, rate), (m, v)

    def descend(self, w: Array, g: Array, v: Array, mu: Any, rate: Any) -> Any:
        """Return new parameters and the velocity."""
        v = mu * v + g
        return w - rate * v, (v,)

    def move(self, w: Array, m: Array, v: Array, c1: Any, c2: Any, rule: Adam, rate: Any) -> Any:
        """Return new parameters of Adam."""
        return w - rate * ((m / c1) / (np.sqrt(v / c2) + rule.epsilon) + rule.weight_decay * w)


class MeansByDifferences(InParts):
    """Means move by a part of the difference; the velocity's two parts are subtracted one by one."""

    def mean(self, beta: float, m: Array, g: Array) -> Any:
        return m + (1 - beta) * (g - m)

    def descend(self, w: Array, g: Array, v: Array, mu: Any, rate: Any) -> Any:
        return (w - rate * g) - (rate * mu) * v, (mu * v + g,)


class MeansBackwards(InParts):
    """The first mean moves back from ``g`` towards what it was; decay is a factor, before the step."""

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        rule = self.optimizer
        if not isinstance(rule, Adam):
            return super().advance(w, g, moments, t, rate)
        m = g + rule.beta1 * (moments[0] - g)
        v = self.mean(rule.beta2, moments[1], g * g)
        return self.move(w, m, v, *rule.corrections(t), rule, rate), (m, v)

    def move(self, w: Array, m: Array, v: Array, c1: Any, c2: Any, rule: Adam, rate: Any) -> Any:
        return w * (1 - rate * rule.weight_decay) - rate / c1 * m / (
            np.sqrt(v) / np.sqrt(w.dtype.type(c2)) + rule.epsilon
        )


class ConstantsOfTheDtype(InParts):
    """Every constant is computed in the dtype, by subtraction; decay comes after the step."""

    def mean(self, beta: float, m: Array, g: Array) -> Any:
        b = m.dtype.type(beta)
        return b * m + (1 - b) * g

    def corrections(self, rule: Adam, t: int, real: Any) -> tuple[Any, Any]:
        return real(1) - real(rule.beta1) ** real(t), real(1) - real(rule.beta2) ** real(t)

    def move(self, w: Array, m: Array, v: Array, c1: Any, c2: Any, rule: Adam, rate: Any) -> Any:
        stepped = w - rate * (m / c1) / (np.sqrt(v / c2) + w.dtype.type(rule.epsilon))
        return stepped - rate * w.dtype.type(rule.weight_decay) * w


class PowersByProducts(InParts):
    """Powers of the betas are products, one factor an update."""

    def corrections(self, rule: Adam, t: int, real: Any) -> tuple[Any, Any]:
        powers = [np.multiply.reduce(np.full(t, real(beta))) for beta in (rule.beta1, rule.beta2)]
        return real(1) - powers[0], real(1) - powers[1]


STYLES: tuple[Any, ...] = (
    TorchOptim,
    TorchFusedOptim,
    Optax,
    InParts,
    MeansByDifferences,
    MeansBackwards,
    ConstantsOfTheDtype,
    PowersByProducts,
)


def missing(style: Any) -> str:
    """Return why a style cannot run here; nothing if it can."""
    return "" if importlib.util.find_spec(style.module) else f"no module named {style.module!r}"


def drawn_optimizer(rng: np.random.Generator) -> Optimizer:
    """Return an optimiser of drawn settings, the usual ones among them."""
    if rng.random() < 0.3:
        return Momentum(float(rng.choice([0.0, 0.5, 0.9, 0.99])))
    beta1, beta2 = float(rng.choice([0.0, 0.1, 0.5, 0.9, 0.99])), float(rng.choice([0.0, 0.5, 0.9, 0.999, 0.9999]))
    return Adam(beta1, beta2, float(rng.choice([1e-8, 1e-3, 0.5])), float(rng.choice([0.0, 0.01, 0.5])))


def judge_drawn_updates(style: Any, dtype: str, seed: int, draws: int) -> Iterator[list[Finding]]:
    """Yield what is found of drawn optimisers, shapes and values: updates in a row, and steps from placed states."""
    rng = np.random.default_rng(seed)
    kinds = [kind for kind in KINDS if kind != "tutorial"]
    for _ in range(draws):
        network = Network(tuple(int(size) for size in rng.integers(1, 9, rng.integers(3, 5))))
        case = Case(network, int(rng.integers(1, 40)), str(rng.choice(kinds)), int(rng.integers(1, 10**6)))
        problem = named(replace(case.problem(dtype), optimizer=drawn_optimizer(rng)))
        backend = style(network, dtype, optimizer=problem.optimizer)
        with np.errstate(all="ignore"):
            tallies = [judge_updates(backend, problem), judge_step_from(backend, problem, 0, "optimizers")]
        yield [finding for tally in tallies for finding in tally.findings]
