"""tinygrad-gpt train: options, plan, session, report, one file each; `command.py` is where it starts."""
