"""Strict local partners for the demo and the tests: a Kommo, an AI and a Redis server."""
