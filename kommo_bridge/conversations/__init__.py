"""What was said in a conversation, whether a human has it, and what it cost."""
