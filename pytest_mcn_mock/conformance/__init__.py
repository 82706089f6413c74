"""The contract of a webhook: what the operator may send to an endpoint, and what a sound one does with it.

``records`` and ``mistakes`` are the cases, ``messages`` writes what each sends, ``sockets`` and ``applications``
deliver it, ``judge`` decides, and ``reports`` tells. ``run`` goes through all of them for ``mcn-mock check``;
``pytest_class`` makes a test of each.
"""
