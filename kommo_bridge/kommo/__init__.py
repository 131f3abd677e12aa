"""The Kommo platform as seen from outside: what it sends and what it accepts."""
