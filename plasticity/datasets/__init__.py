"""Streams of tasks. A dataset is one file here, one line below and one file in `conf/dataset/`."""

from plasticity.datasets.permuted_mnist import PermutedMnistConfig

DatasetConfig = PermutedMnistConfig
"""Any dataset's config: its shape (`inputs`, `outputs`, `loss`), its length, and `open` for its tasks."""

DATASETS: dict[str, type[DatasetConfig]] = {"permuted_mnist": PermutedMnistConfig}
"""Config by name, as in `dataset.name`."""
