"""Shared by tests/ and docs/: pytest's own fixture for tests of a plugin."""

pytest_plugins = ["pytester"]
