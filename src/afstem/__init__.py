"""Nightly reconciliation of citizens' contact information for the Danish employment services."""

from importlib.metadata import version

__version__ = version("afstem")
