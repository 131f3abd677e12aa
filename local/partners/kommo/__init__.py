"""Kommo as far as the bridge meets it; it refuses what Kommo refuses."""
