"""Lends every test pytest's fixture for tests of a plugin, and checks every answer against the schemas."""

pytest_plugins = ["pytester", "checked"]
