class LabelConverter:
    """A room's label in a path: a slug that isn't the name of another page."""

    regex = r"(?!new/)[-a-zA-Z0-9_]{1,50}"

    def to_python(self, value):
        return value

    def to_url(self, value):
        return value
