"""Values in free text: what a model that keeps to no form wrote, as numbers, hours and choices.

First what surrounds an answer is taken away (`thinking`, `framing`), then what it denies or takes
back (`statements`); the other modules read one kind of value each.
"""
