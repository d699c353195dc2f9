"""What may be asked of a scoring run, by name; apart from what carries it out, which takes a second to import."""

METHODS = ("exact", "sketch")
PRECISIONS = ("fp32", "auto", "bf16", "tf32")
