"""One page about some runs, which holds all that it shows: tables, findings, figures, the runs and their versions.

Its curves are drawn by Vega-Lite, which vl-convert packs into one script. It was chosen for a page that can be
opened anywhere:

- Vega-Lite: 0.9 MB, draws SVG, whose text can be selected, read aloud, printed and coloured by the page's style
  sheet; its expressions can be interpreted, so that the page forbids `eval` along with every request.
- Plotly: its script in the Python package takes almost all of the 5 MB that a page may have.
- Bokeh: draws on a canvas, which shows nothing to a screen reader and does not follow a style sheet.

None of their legends can be reached by keyboard, so the page has buttons of its own.
"""
