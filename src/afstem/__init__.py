"""Nightly reconciliation of citizens' contact information for the Danish employment services."""
