"""Backends with a known time or a known fault, for the instrument's tests; given as ``specimens:Class``.

They compute a 1-1-1 network in plain Python numbers, so that what they take is what they wait.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import threading
import time
from typing import ClassVar, NamedTuple

import numpy as np

from backends import Backend, Capabilities, Layer


class Numbers(NamedTuple):
    """Weight and bias of both layers."""

    w1: float
    b1: float
    w2: float
    b2: float


def wait_until(end_s: float) -> None:
    """Keep the processor busy until then."""
    while time.perf_counter() < end_s:
        pass


class Exact(Backend):
    """Right, synchronous, and a few microseconds a step."""

    name = "exact"
    capabilities = Capabilities(dtypes=("float64",))

    def place_params(self, params):
        (w1, b1), (w2, b2) = self.host_params(params)
        return Numbers(float(w1[0, 0]), float(b1[0]), float(w2[0, 0]), float(b2[0]))

    def place_batch(self, inputs, targets):
        x, y = self.host_batch(inputs, targets)
        return [float(value) for value in x[:, 0]], [float(value) for value in y[:, 0]]

    def forward(self, params, batch):
        w1, b1, w2, b2 = params
        h = [math.tanh(w1 * x + b1) for x in batch[0]]
        return h, [w2 * value + b2 for value in h]

    def backward(self, params, batch, tape):
        (xs, ys), (hs, ps) = batch, tape
        n = len(xs)
        errors = [p - y for p, y in zip(ps, ys, strict=True)]
        g2 = [2 * e / n for e in errors]
        g1 = [g * params.w2 * (1 - h * h) for g, h in zip(g2, hs, strict=True)]
        dw1 = sum(g * x for g, x in zip(g1, xs, strict=True))
        dw2 = sum(g * h for g, h in zip(g2, hs, strict=True))
        return sum(e * e for e in errors) / n, Numbers(dw1, sum(g1), dw2, sum(g2))

    def update(self, params, gradients, learning_rate):
        return Numbers(*(p - learning_rate * g for p, g in zip(params, gradients, strict=True)))

    def outputs(self, tape):
        return tuple(np.array(layer).reshape(-1, 1) for layer in tape)

    def fetch(self, params):
        w1, b1, w2, b2 = params
        return (
            Layer(np.array([[w1]]), np.array([b1])),
            Layer(np.array([[w2]]), np.array([b2])),
        )


class SlowFirstCall(Exact):
    """Takes 0.3 s for the first step of a process, as a compiler would, and 20 us for every other."""

    compiled: ClassVar[bool] = False

    def step(self, params, batch, learning_rate):
        begun_s = time.perf_counter()
        if not SlowFirstCall.compiled:
            SlowFirstCall.compiled = True
            time.sleep(0.3)
        result = super().step(params, batch, learning_rate)
        wait_until(begun_s + 20e-6)
        return result


class SlowFirstTrain(Exact):
    """Takes 0.3 s for the first `train` of a process; a step by itself takes 200 us, inside `train` next to nothing."""

    compiled: ClassVar[bool] = False

    def step(self, params, batch, learning_rate):
        begun_s = time.perf_counter()
        result = super().step(params, batch, learning_rate)
        wait_until(begun_s + 200e-6)
        return result

    def train(self, params, batch, learning_rate, steps):
        if not SlowFirstTrain.compiled:
            SlowFirstTrain.compiled = True
            time.sleep(0.3)
        losses = np.empty(steps, self.dtype)
        for k in range(steps):
            params, losses[k] = super().step(params, batch, learning_rate)
        return self.trained(params, losses, learning_rate)


class Later:
    """A result that is calculated when it is asked for, in a time of its own."""

    def __init__(self, calculate, takes_s):
        self._calculate, self._value, self.takes_s = calculate, None, takes_s

    def value(self):
        """Return the result, calculated once."""
        if self._value is None:
            end_s = time.perf_counter() + self.takes_s
            self._value = self._calculate()
            wait_until(end_s)
        return self._value

    def __float__(self):
        return float(self.value()[1])


class OnlyDispatches(Exact):
    """Its step notes what is to be done, at once; the work is done when somebody waits for it, in 50 us a step."""

    takes_s: ClassVar[float] = 50e-6

    def __init__(self, network, dtype="float32", device="cpu"):
        super().__init__(network, dtype, device)
        self._queue = []

    def step(self, params, batch, learning_rate):
        base, result = super(), None

        def calculate():
            return base.step(params.value()[0] if isinstance(params, Later) else params, batch, learning_rate)

        result = Later(calculate, self.takes_s)
        self._queue.append(result)
        return result, result

    def synchronize(self):
        for result in self._queue:
            result.value()
        self._queue.clear()

    def fetch(self, params):
        return super().fetch(params.value()[0] if isinstance(params, Later) else params)


class NeverWaits(OnlyDispatches):
    """Its synchronize comes back at once, though a step takes a millisecond."""

    takes_s: ClassVar[float] = 1e-3

    def synchronize(self):
        pass


class OnlyWhenAsked(NeverWaits):
    """Computes nothing until somebody reads a result, and then takes 100 us a step."""

    takes_s: ClassVar[float] = 100e-6


class Exits(Exact):
    """Ends the program in the middle of a step of seven rows, as a library that calls `sys.exit` would."""

    def step(self, params, batch, learning_rate):
        if len(batch[0]) == 7:
            raise SystemExit("goodbye")
        return super().step(params, batch, learning_rate)


class ExitsAtOnce(Exact):
    """Ends the process without a word, with status 0, in a step of seven rows."""

    def step(self, params, batch, learning_rate):
        if len(batch[0]) == 7:
            os._exit(0)
        return super().step(params, batch, learning_rate)


class Ascends(Exact):
    """Wrong maths: climbs."""

    def update(self, params, gradients, learning_rate):
        return super().update(params, gradients, -learning_rate)


class WrongOnceTrained(Exact):
    """Right at first, wrong after five hundred steps in this process."""

    steps: ClassVar[int] = 0

    def step(self, params, batch, learning_rate):
        WrongOnceTrained.steps += 1
        params, loss = super().step(params, batch, learning_rate)
        return params, loss if WrongOnceTrained.steps < 500 else loss + 1


class FaultyAtSeven(Exact):
    """A fault of the kind of each subclass in the step of a batch of seven rows; sound otherwise."""

    def step(self, params, batch, learning_rate):
        if len(batch[0]) == 7:
            self.fault()
        return super().step(params, batch, learning_rate)

    def fault(self):
        """Do what is wrong."""


class Raises(FaultyAtSeven):
    """Raises an exception."""

    def fault(self):
        raise RuntimeError("seven is too many")


class Segfaults(FaultyAtSeven):
    """Dies of a segmentation fault."""

    def fault(self):
        print("about to fall", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)


class OutOfMemory(FaultyAtSeven):
    """Is killed as the kernel kills a process when memory runs out."""

    def fault(self):
        os.kill(os.getpid(), signal.SIGKILL)


class CannotAllocate(FaultyAtSeven):
    """Says that memory ran out."""

    def fault(self):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")


class Hangs(FaultyAtSeven):
    """Never comes back."""

    def fault(self):
        time.sleep(3600)


class KillsItsParent(Exact):
    """Ends the campaign, once, at the first batch of five rows, as a power cut would."""

    def step(self, params, batch, learning_rate):
        flag = os.environ["SPECIMEN_FLAG"]
        if len(batch[0]) == 5 and not os.path.exists(flag):
            with open(flag, "w") as file:
                file.write("done")
            time.sleep(0.5)  # the parent has kept the rows of the batch before
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return super().step(params, batch, learning_rate)


class NotesItsCalls(Exact):
    """Takes a millisecond a step, and notes in a file when each began and ended, and in which process."""

    def step(self, params, batch, learning_rate):
        begun_ns = time.monotonic_ns()
        made = super().step(params, batch, learning_rate)
        wait_until(time.perf_counter() + 1e-3)
        with open(os.environ["SPECIMEN_FLAG"], "a") as file:
            file.write(f"{begun_ns} {time.monotonic_ns()} {os.getpid()}\n")
        return made


class NeverRests(NotesItsCalls):
    """Has a thread of its own that goes on while nothing is asked, and notes when: as idle threads of a pool do."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        threading.Thread(target=self.go_on, daemon=True).start()

    def go_on(self):
        with open(os.environ["SPECIMEN_FLAG"] + "-idle", "a", buffering=1) as file:
            while True:
                time.sleep(0.5e-3)
                file.write(f"{time.monotonic_ns()} {os.getpid()}\n")


class CannotDescribe(Exact):
    """Raises when it is asked what it is."""

    def describe(self):
        raise RuntimeError("I am nobody")


class DescribesInNumpy(Exact):
    """Tells its number of threads as a number of numpy."""

    def describe(self):
        return {"threads": np.int64(1), "share": np.float32(0.5)}


class LeavesOthersBehind(Exact):
    """Starts a process in a session of its own, and notes its id."""

    def step(self, params, batch, learning_rate):
        flag = os.environ["SPECIMEN_FLAG"]
        if not os.path.exists(flag):
            other = subprocess.Popen(["sleep", "600"], start_new_session=True)
            with open(flag, "w") as file:
                file.write(str(other.pid))
        return super().step(params, batch, learning_rate)
