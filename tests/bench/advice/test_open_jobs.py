"""What a campaign goes on with: the jobs that are open, beside the steps."""

from backends import Network
from bench.advice.open_jobs import open_cells
from bench.measure.cell import Cell, Group
from bench.verdicts import stopping
from tests.bench import synthetic
from tests.bench.synthetic import Noise

CELL = Cell(Group(Network((8, 32, 1)), 64, "float32", "cpu"), "train")
BOTH = {"backends": ("numpy", "numba"), "networks": ("8-32-1",), "batches": (64,), "failed": None, "twin": None}


def records(numpy_import_s, numba_import_s, noise=0.02):
    """Return rows in which a step of numba takes a third of numpy's time, and 1,000 of them some 15 ms less."""
    factor = 3 * synthetic.true_s("numba", "8-32-1", 64, "train") / synthetic.true_s("numpy", "8-32-1", 64, "train")
    frame = synthetic.frame(**BOTH, noise=Noise(process=noise), slower={("numpy", "8-32-1", 64): factor})
    imports = frame["backend"].map({"numpy": numpy_import_s, "numba": numba_import_s})
    scatter = 1 + 0.1 * frame["process"]
    return frame.assign(import_s=imports * scatter, compile_s=0.0, place_compile_s=0.0).to_dict("records")


def test_a_job_whose_steps_are_decided_may_be_open():
    """The slower step that is imported sooner: what a job comes to is a tie that few processes do not prove."""
    made = records(0.001, 0.001)
    assert CELL not in stopping.open_cells(made)
    assert CELL not in open_cells(made)
    gain_s = 1_000 * 2 * synthetic.true_s("numba", "8-32-1", 64, "train")
    near = records(0.10, 0.10 + gain_s)
    assert CELL not in stopping.open_cells(near)
    assert open_cells(near)[CELL].contenders == {("numpy", 2), ("numba", 2)}


def test_without_training_there_is_no_job_to_decide():
    """Of a run of single steps alone, what is open is what the stopping rule says."""
    steps = [row for row in records(0.1, 0.2, noise=0.3) if row["phase"] == "step"]
    assert open_cells(steps) == stopping.open_cells(steps)
