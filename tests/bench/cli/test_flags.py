"""Values of flags that commands share."""

import argparse

import pytest

from bench.cli import flags


@pytest.mark.parametrize("read", [flags.positive, flags.rows, flags.count])
@pytest.mark.parametrize(
    ("text", "value"),
    [("100000", 10**5), ("100_000", 10**5), ("100,000", 10**5), ("1e5", 10**5), ("2.5E+3", 2500), ("1e23", 10**23)],
)
def test_a_whole_number_is_read_as_people_write_it(read, text, value):
    """Every flag that takes a number reads powers of ten and groups of three digits, exactly."""
    assert read(text) == value


@pytest.mark.parametrize("read", [flags.positive, flags.rows, flags.count])
@pytest.mark.parametrize(
    "text",
    ["", "-1", "1.5", "1e-3", "1.25e1", "1e99", "nan", "inf", "1,00", "1,0000", "1_", "0x10", "\uff18", "9" * 5000],
)
def test_what_is_no_whole_number_is_refused_by_its_value(read, text):
    """A fraction, a sign, a wrong group, another script's digits or a number without end is named in the refusal."""
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected a .*number.*, got '"):
        read(text)
