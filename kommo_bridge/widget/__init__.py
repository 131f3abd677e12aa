"""What is uploaded to Kommo: its archive and Kommo's rules for it."""
