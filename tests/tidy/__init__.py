"""The house rules as functions: sources in, faults out. `tests/test_tidy.py` runs them."""
