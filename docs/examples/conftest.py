"""Leave out the examples that are projects with their own settings: tests/docs/test_projects.py runs them."""

collect_ignore = ["django_login"]
