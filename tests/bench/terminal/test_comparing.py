"""What `compare` says of how far its verdicts can be trusted."""

from __future__ import annotations

import pytest

from bench.terminal import comparing
from bench.verdicts.compare import compare
from tests.bench import synthetic


@pytest.mark.parametrize(
    ("processes", "said"), [(1, "To decide: python -m bench run --phases forward"), (2, "sure to")]
)
def test_times_of_one_process_are_not_called_sure(processes, said):
    """A phase that only describes has one process: the text says that nothing is decided, and which command decides."""
    frame = synthetic.frame(networks=("3-2-1",), batches=(1, 16), phases=("forward",), processes=processes, failed=None)
    assert said in comparing.trust(compare(frame))
