"""The bridge on one machine without Kommo: its commands, its Redis, and strict partners."""
