"""Our speed beside others': see README.md."""
