"""Assembly: opens every part in order and closes them in reverse; the only part that knows every other."""

from proxy.app.app import App

__all__ = ["App"]
