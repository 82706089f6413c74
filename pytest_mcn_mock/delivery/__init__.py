"""HTTP out: CDRs on their way to the webhooks under test."""
