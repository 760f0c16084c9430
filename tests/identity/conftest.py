"""Fixtures for who asks: installations that a test configures and restarts."""

from tests.quotas.conftest import opened as opened  # noqa: PLC0414 - pytest takes it from here by this name
