"""RQ lives here and nowhere else: enqueueing, the worker, its recovery."""
