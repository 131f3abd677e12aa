"""What was said in a conversation, who has it, and what it cost."""
