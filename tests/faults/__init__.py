"""Faults that are really injected, each with a control: a naive variant in which the same fault must find something."""
