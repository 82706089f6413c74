"""The operator as a server of its own."""
