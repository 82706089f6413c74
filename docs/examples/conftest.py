"""What is a project of its own, with settings of its own, is run as one: see tests/docs/test_projects.py."""

collect_ignore = ["django_login"]
