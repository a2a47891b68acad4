"""The simulated venue: its engine is pure, `exchange` is its skin towards riskbot."""
