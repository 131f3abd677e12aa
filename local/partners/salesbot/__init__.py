"""Kommo's Salesbot, which runs the flow of our widget."""
