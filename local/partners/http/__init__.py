"""Loopback servers whose faults can be ordered."""
