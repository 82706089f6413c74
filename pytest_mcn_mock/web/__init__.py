"""HTTP in: one pure function from a request to a response, and a thin adapter each for WSGI and for the sandbox."""
