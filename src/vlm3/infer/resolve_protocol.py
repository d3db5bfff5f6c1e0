"""Resolve the protocol of a checkpoint: from the caller, from its files, or from its name."""

import hashlib
import warnings

from vlm3.tasks.protocol import PROTOCOLS, Protocol, get_protocol, protocol_for_checkpoint


class ProtocolWarning(UserWarning):
    """Nothing says with which prompts a checkpoint was trained; the paper's wording is used."""


def resolve_protocol(
    asked: str | None,
    *,
    name: str,
    trained: str | None = None,
    f_px: float | None = None,
    long_side_px: int | None = None,
) -> Protocol:
    """Resolves a checkpoint's protocol: from the caller, from its settings, or from its name.

    Args:
        asked: what the caller named.
        name: the checkpoint's name or path.
        trained: the protocol in the checkpoint's settings.
        f_px: the focal length in them; it belongs to `trained`, so another protocol that the
            caller names keeps its own.
        long_side_px: the longer side in them, instead of a focal length.

    Raises:
        InputError: an unknown protocol.

    Warns:
        ProtocolWarning: none of the three says anything.
    """
    if asked is not None and asked != trained:
        return get_protocol(asked)
    if trained is not None:
        protocol = get_protocol(trained)
        if long_side_px is not None:
            return protocol.with_long_side(long_side_px)
        return protocol if f_px is None else protocol.with_focal(f_px)
    named = protocol_for_checkpoint(name)
    if named is None:
        warnings.warn(
            f"nothing says with which prompts {name} was trained: using the paper's wording; "
            f"name a protocol to change that ({', '.join(PROTOCOLS)})",
            ProtocolWarning,
            stacklevel=4,
        )
        named = get_protocol("paper")
    return named if f_px is None else named.with_focal(f_px)


def wording_digest(protocol: Protocol) -> str:
    """Twelve hexadecimal digits of all that a protocol writes into a question.

    The words and the range of coordinates, not how answers are read: that may improve.
    """
    words = sorted(protocol.templates.items())
    numbers = (protocol.norm_size, protocol.half_open, protocol.prep.rounding)
    # Named only where it is another than most have, so that their digests stay.
    centre = () if protocol.centre_px == 0.5 else (protocol.centre_px,)
    text = repr((words, *numbers, *centre))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
