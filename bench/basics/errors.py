"""Errors that a person can mend: the command line shows their message alone and exits with status 2.

Tests: `tests/bench/cli/test_messages.py`.
"""


class UsageError(ValueError):
    """What was asked cannot be done: the message names the value, what was expected and the next command."""
