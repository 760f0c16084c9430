"""Tollkeeper: a local OpenAI-compatible proxy that keeps every user inside a quota and books every cent."""

__version__ = "0.1.0"
