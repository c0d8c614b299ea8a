"""Tables of any runs.

A table is declared (`declaration`): its rows and columns, as values of the runs' config keys, and what a cell
shows. The runs are put into its cells (`cells`), summarised (`summary`), compared with a baseline (`baseline`) or
with published numbers (`published`), and laid out (`layout`, `listing`, `beside`) for `analysis.render`, which
knows the formats.
"""
