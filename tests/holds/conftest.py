"""Fixtures for holds: installations that a test configures, restarts and moves through time."""

from tests.quotas.conftest import opened as opened  # noqa: PLC0414 - pytest takes it from here by this name
