"""Loss of plasticity and continual backpropagation, computed exactly and fast."""

__version__ = "0.1.0"
