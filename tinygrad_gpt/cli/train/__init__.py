"""tinygrad-gpt train.  Start reading in command.py: options, then the plan, then the session."""
