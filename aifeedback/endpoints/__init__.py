"""One OpenAI-compatible HTTP endpoint: who it is, what is sent, what comes back, how fast."""
