"""The entry point of the conformance kit for pytest: loads the kit where it is asked for, and imports nothing else.

pytest imports this module in every session of an environment that the distribution is installed in. It imports neither
numpy nor `backends`, so that it slows none of them, spoils no coverage, and does not mind another folder of that name.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

KIT = "backends.conformance"


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, None, None]:
    """Load the kit if an argument names it, after the conftests, which may have options of the same names."""
    yield
    if any(KIT in argument.replace("/", ".") for argument in args):
        from backends.conformance import plugin

        if not early_config.pluginmanager.is_registered(plugin):
            early_config.pluginmanager.register(plugin, "backends.conformance.kit")
        plugin.add_options(parser)
