"""A step of a convolutional network in double precision, position by position, apart from the package's code."""

import numpy as np


class ConvolutionOracle:
    """ReLU convolutions with pooling, then ReLU layers and a linear one, with cross-entropy, CBP and contribution.

    Args:
        convolutions: (kernel, stride, padding, pool) of each convolution.
        parameters: those of the network by name, "weights.0" and so on, and `memory`; both are copied.
    """

    def __init__(self, image, convolutions, parameters, memory, step_size, rate, threshold, decay, fresh):
        self.image, self.convolutions = image, convolutions
        self.p = {name: array.astype(np.float64) for name, array in parameters.items()}
        self.m = {name: array.astype(np.float64) for name, array in memory.items()}
        self.depth = sum(name.startswith("weights") for name in parameters)
        self.step_size, self.rate, self.threshold, self.decay = step_size, rate, threshold, decay
        self.fresh = fresh

    def convolve(self, x, w, b, stride, padding):
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        k = w.shape[2]
        height, width = ((side - k) // stride + 1 for side in x.shape[2:])
        z = np.empty((len(x), len(w), height, width))
        for i in range(height):
            for j in range(width):
                patch = x[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
                z[:, :, i, j] = patch.reshape(len(x), -1) @ w.reshape(len(w), -1).T + b
        return x, z

    def gradient_of_convolution(self, padded, w, dz, stride, padding):
        k, dw, dx = w.shape[2], np.zeros_like(w), np.zeros_like(padded)
        for i in range(dz.shape[2]):
            for j in range(dz.shape[3]):
                rows, columns = slice(i * stride, i * stride + k), slice(j * stride, j * stride + k)
                patch, error = padded[:, :, rows, columns], dz[:, :, i, j]
                dw += (error.T @ patch.reshape(len(patch), -1)).reshape(w.shape)
                dx[:, :, rows, columns] += (error @ w.reshape(len(w), -1)).reshape(patch.shape)
        inner = slice(padding, dx.shape[2] - padding), slice(padding, dx.shape[3] - padding)
        return dw, dz.sum(axis=(0, 2, 3)), dx[:, :, inner[0], inner[1]]

    def pool(self, h, size):
        pooled = np.empty((*h.shape[:2], h.shape[2] // size, h.shape[3] // size))
        for i in range(pooled.shape[2]):
            for j in range(pooled.shape[3]):
                window = h[:, :, i * size : (i + 1) * size, j * size : (j + 1) * size]
                pooled[:, :, i, j] = window.max(axis=(2, 3))
        return pooled

    def gradient_of_pool(self, h, dpooled, size):
        dh = np.zeros_like(h)
        for i in range(dpooled.shape[2]):
            for j in range(dpooled.shape[3]):
                rows, columns = slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size)
                window = h[:, :, rows, columns].reshape(*h.shape[:2], -1)
                first = window.argmax(axis=2)[..., None] == np.arange(size * size)  # of equals, the first
                dh[:, :, rows, columns] += (first * dpooled[:, :, i, j, None]).reshape(
                    *h.shape[:2], size, size
                )
        return dh

    def step(self, inputs, targets):
        """Takes a step on a batch [examples, inputs]; returns the units replaced, and the mean loss before it."""
        x, trace = inputs.astype(np.float64).reshape(-1, *self.image), []
        for number, (_, stride, padding, size) in enumerate(self.convolutions):
            padded, z = self.convolve(
                x, self.p[f"weights.{number}"], self.p[f"biases.{number}"], stride, padding
            )
            h = np.maximum(z, 0)
            trace.append((padded, z, h))
            x = self.pool(h, size)
        convolved, hidden = (
            x.shape,
            [pooled_h(t, c, self) for t, c in zip(trace, self.convolutions, strict=True)],
        )
        x = x.reshape(len(x), -1)
        dense = []
        for number in range(len(self.convolutions), self.depth):
            z = x @ self.p[f"weights.{number}"].T + self.p[f"biases.{number}"]
            dense.append((x, z))
            x = np.maximum(z, 0)
            hidden.append(x[:, :, None])
        exponentials = np.exp(z - z.max(axis=1, keepdims=True))
        shares = exponentials / exponentials.sum(axis=1, keepdims=True)
        loss = -np.log(shares[np.arange(len(z)), targets]).mean()
        error = shares
        error[np.arange(len(z)), targets] -= 1
        error /= len(z)
        gradients = {}
        for number in reversed(range(len(self.convolutions), self.depth)):
            below, z = dense[number - len(self.convolutions)]
            if number + 1 < self.depth:
                error = error * (z > 0)
            gradients |= {f"weights.{number}": error.T @ below, f"biases.{number}": error.sum(axis=0)}
            error = error @ self.p[f"weights.{number}"]
        error = error.reshape(convolved)
        for number in reversed(range(len(self.convolutions))):
            _, stride, padding, size = self.convolutions[number]
            padded, z, h = trace[number]
            dz = self.gradient_of_pool(h, error, size) * (z > 0)
            dw, db, error = self.gradient_of_convolution(
                padded, self.p[f"weights.{number}"], dz, stride, padding
            )
            gradients |= {f"weights.{number}": dw, f"biases.{number}": db}
        for name, gradient in gradients.items():
            self.p[name] = self.p[name] - self.step_size * gradient
        return self.replace(hidden[:-1]), loss

    def w_out(self, layer, unit):
        """The weights that lead out of a unit, as the index of an entry of the next layer's weights."""
        if layer + 1 == len(self.convolutions):
            positions = self.p[f"weights.{layer + 1}"].shape[1] // len(self.p[f"biases.{layer}"])
            return np.s_[:, unit * positions : (unit + 1) * positions]
        return np.s_[:, unit]

    def replace(self, hidden):
        chosen = []
        for layer, h in enumerate(hidden):  # [examples, units, positions]
            m = {kind: self.m[f"{kind}.{layer}"] for kind in ("age", "mean_activation", "utility")}
            m["age"] += 1
            outgoing = self.p[f"weights.{layer + 1}"]
            for unit in range(h.shape[1]):
                y = np.abs(h[:, unit]).mean() * np.abs(outgoing[self.w_out(layer, unit)]).mean()
                for kind, new in (("mean_activation", h[:, unit].mean()), ("utility", y)):
                    m[kind][unit] = self.decay * m[kind][unit] + (1 - self.decay) * new
            eligible = np.flatnonzero(m["age"] > self.threshold)
            debt = self.m[f"debt.{layer}"] + self.rate * len(eligible)
            number = int(np.floor(debt))
            self.m[f"debt.{layer}"] = np.array(debt - number)
            worth = m["utility"] / (1 - self.decay ** m["age"])
            chosen.append(sorted(eligible, key=lambda unit: worth[unit])[:number])
        for layer, units in enumerate(chosen):
            for unit in units:
                weights = self.p[f"weights.{layer}"]
                weights[unit] = self.fresh(layer, unit, weights[unit].size).reshape(weights[unit].shape)
                self.p[f"biases.{layer}"][unit] = 0
                self.p[f"weights.{layer + 1}"][self.w_out(layer, unit)] = 0
                for kind in ("age", "mean_activation", "utility"):
                    self.m[f"{kind}.{layer}"][unit] = 0
        return chosen


def pooled_h(trace, convolution, oracle):
    """What a convolution puts out, by unit: [examples, units, positions]."""
    pooled = oracle.pool(trace[2], convolution[3])
    return pooled.reshape(*pooled.shape[:2], -1)
