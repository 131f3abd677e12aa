"""A deterministic world around the answers: one seed, one schedule, a clock that jumps."""
