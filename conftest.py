"""Lends every test pytest's fixture for tests of a plugin."""

pytest_plugins = ["pytester"]
