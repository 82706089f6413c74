"""Conformance: what a webhook must cope with (``mcn-mock check``, ``WebhookContract``), and how a real server's answers
differ from the fake's (``mcn-mock verify``, ``mcn-mock record``).

Check: ``webhook`` writes what a subscription sends, ``cases`` lists what is sent and why, ``sending`` delivers it,
``verdict`` evaluates the answers, ``run`` goes through the cases and reports, ``webhook_contract`` makes pytest tests.

Verify: ``questions`` lists what is asked and what the fake answers, ``interview`` asks, ``recording`` keeps the answers
without secrets, and ``comparison`` finds the differences.
"""
