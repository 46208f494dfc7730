"""What a caller is told without being stopped."""


class CaptureWarning(UserWarning):
    """A call or feedback was not captured, or lines of a capture file cannot be read; replies are not affected."""


class EndpointWarning(UserWarning):
    """An endpoint refuses every request (wrong key, no credit, no such model), and others answer in its place."""
