"""Pictures and pages that show an answer beside its question and the truth.

`figures` draws with matplotlib (the extra `viz`), `report` writes one HTML file, `evidence` is what
both print. Sees geometry, view and tasks.answers; will not know models, engines or files of labels.
"""
