"""Negative controls: backends that each differ from the plain correct one by a single fault, one module a family.

A kit that cannot fail proves nothing. `MUTANTS` names, for each fault, the claim that must reject it; see one fail:

``python -m bench check --backend backends.conformance.mutants:Ascent``
"""

from __future__ import annotations

from backends.conformance.mutants import (
    activations,
    adam,
    identity,
    losses,
    mathematics,
    memory,
    minibatches,
    momentum,
    optimizer_state,
    ownership,
    promises,
    reordering,
    shapes,
    shares,
    training,
    updates,
    values,
    width,
)
from backends.conformance.plain import Plain

MUTANTS: dict[type[Plain], str] = {
    **mathematics.MUTANTS,
    **memory.MUTANTS,
    **identity.MUTANTS,
    **ownership.MUTANTS,
    **training.MUTANTS,
    **promises.MUTANTS,
    **width.MUTANTS,
    **values.MUTANTS,
    **shapes.MUTANTS,
    **shares.MUTANTS,
    **activations.MUTANTS,
    **losses.MUTANTS,
    **adam.MUTANTS,
    **momentum.MUTANTS,
    **updates.MUTANTS,
    **optimizer_state.MUTANTS,
    **minibatches.MUTANTS,
    **reordering.MUTANTS,
}
"""Each fault, and the claim that must reject it. A new family is a module with such a table, and a line here."""


def __getattr__(name: str) -> type[Plain]:
    """Return a mutant by its name, whichever module holds it."""
    for mutant in MUTANTS:
        if mutant.__name__ == name:
            return mutant
    raise AttributeError(f"no mutant {name!r}; there are {', '.join(mutant.__name__ for mutant in MUTANTS)}")
