"""Objectives: the loss that is minimised, and the score that a run is judged by."""

from typing import TYPE_CHECKING, ClassVar

from plasticity.part import Part

if TYPE_CHECKING:
    from torch import Tensor


class Objective(Part):
    """A loss and a score.

    Attributes:
        score_name: what the score is called: a column of the results.
        higher_is_better: whether a better network scores higher.
        percent: whether the score is shown in percent.
    """

    score_name: ClassVar[str] = "score"
    higher_is_better: ClassVar[bool] = True
    percent: ClassVar[bool] = False

    def shown(self, score: float, digits: int = 1) -> str:
        """A score as people read it: "84.6%", "0.01234"."""
        return score_text(score, self.percent, digits)

    def loss(self, outputs: "Tensor", target: "Tensor") -> "Tensor":
        """The loss, a scalar; for a batch, the mean over its examples.

        Args:
            outputs: the network's outputs: [outputs], or [batch size, outputs] for a batch.
            target: a class, [], or values, [outputs]; a batch has a further first dimension.
        """
        raise NotImplementedError

    def score(self, outputs: "Tensor", target: "Tensor") -> "Tensor":
        """The score of each example: [], or [batch size]. Arguments as in `loss`."""
        raise NotImplementedError


class CrossEntropy(Objective, name="cross_entropy"):
    """Cross-entropy of the softmax of the outputs, in nats; the score is the accuracy."""

    score_name = "accuracy"
    higher_is_better = True
    percent = True

    def loss(self, outputs: "Tensor", target: "Tensor") -> "Tensor":
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, target)

    def score(self, outputs: "Tensor", target: "Tensor") -> "Tensor":
        return outputs.argmax(dim=-1) == target


class SquaredError(Objective, name="squared_error"):
    """(ŷ − y)², averaged over the outputs, without ½; the score is the error itself."""

    score_name = "error"
    higher_is_better = False

    def loss(self, outputs: "Tensor", target: "Tensor") -> "Tensor":
        from torch.nn.functional import mse_loss

        return mse_loss(outputs, target)

    def score(self, outputs: "Tensor", target: "Tensor") -> "Tensor":
        return (outputs - target).square().mean(dim=-1)


def score_text(score: float, percent: bool, digits: int = 1) -> str:
    """A score as people read it, with this many digits after the point of a percentage: "84.6%", "0.01234"."""
    return f"{score:.{digits}%}" if percent else f"{score:.{digits + 3}g}"
