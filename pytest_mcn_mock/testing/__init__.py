"""The operator in a test's own process: the server and the account behind the fixtures."""
