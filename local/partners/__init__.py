"""Strict stand-ins for the partners: Kommo, its Salesbot and the AI."""
