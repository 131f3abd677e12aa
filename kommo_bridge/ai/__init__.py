"""The AI: the question, the call, and its reply as text for a messenger."""
