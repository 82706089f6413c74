"""The rules of the fake operator: plain values in, plain values out; no I/O, no clock, no randomness."""
