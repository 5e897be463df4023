"""When a source that says how often it reports is taken for silent. Pure."""

#: Reports that may be missing before nothing is known any more.
PATIENCE = 3


def due(reported, interval, now):
    """When its next report was due, if it is silent by now; None: it isn't, or never is.

    `reported` is a date, or None; the others are seconds, and so is the answer, since 1970.
    """
    if reported is None or interval is None or interval <= 0:
        return None
    last = reported.timestamp()
    return last + interval if now - last > PATIENCE * interval else None
