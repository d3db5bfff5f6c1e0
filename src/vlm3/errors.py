"""The errors a caller may want to catch: all that vlm3 raises on purpose."""


class Vlm3Error(Exception):
    """Base of every error that vlm3 raises on purpose."""


class InputError(Vlm3Error, ValueError):
    """What the user gave cannot be used: says what came, what is allowed and what to do next.

    The command line prints it as one line and exits with 2.
    """


class CheckpointError(InputError):
    """A model folder or name that cannot be loaded: missing, incomplete, pickled, or not a VLM."""


class MissingDependencyError(Vlm3Error):
    """An optional package is needed for this call; the text says how to install it."""
