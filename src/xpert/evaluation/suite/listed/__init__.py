"""The experiments as they are listed: what each is, what the paper has, and what differs here."""
