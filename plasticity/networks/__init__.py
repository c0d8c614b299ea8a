"""Networks: what a model builds, in plain arrays that every engine accepts and returns."""
