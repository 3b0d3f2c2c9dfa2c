"""A backend of one's own: the mathematics of `backends.base` in plain numpy, line by line."""

import numpy as np

from backends import Backend, Layer


class OwnBackend(Backend):
    """Everything but the seven methods that a backend must have is left to the defaults."""

    name = "own"

    def place_params(self, params):
        return self.host_params(params)

    def place_batch(self, inputs, targets):
        x, y = self.host_batch(inputs, targets)
        return x.copy(), y.copy()

    def forward(self, params, batch):
        h, tape = batch[0], []
        for k, (w, b) in enumerate(params, start=1):
            z = h @ w.T + b
            h = np.tanh(z) if k < len(params) else z
            tape.append(h)
        return tape

    def backward(self, params, batch, tape):
        x, y = batch
        g = 2 * (tape[-1] - y) / y.size
        gradients = []
        for k in reversed(range(len(params))):
            h = tape[k - 1] if k else x
            gradients.insert(0, Layer(g.T @ h, g.sum(axis=0)))
            if k:
                g = (g @ params[k].weights) * (1 - h * h)
        return np.mean((tape[-1] - y) ** 2), tuple(gradients)

    def update(self, params, gradients, learning_rate):
        rate = float(learning_rate)  # a scalar of numpy's would turn float32 into float64
        return tuple(Layer(w - rate * dw, b - rate * db) for (w, b), (dw, db) in zip(params, gradients, strict=True))

    def outputs(self, tape):
        return tuple(h.copy() for h in tape)

    def fetch(self, params):
        return tuple(Layer(w.copy(), b.copy()) for w, b in params)
