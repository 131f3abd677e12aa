"""Written conversations: an assistant is tried before customers meet it."""
