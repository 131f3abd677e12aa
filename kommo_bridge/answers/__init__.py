"""One conversation's turn, from the job to Kommo."""
