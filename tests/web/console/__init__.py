"""The console, as its visitors see it."""
