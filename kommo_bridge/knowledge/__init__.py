"""What a business has told its assistant: files and pages are read, kept and searched."""
