"""Tests of riskbot."""
