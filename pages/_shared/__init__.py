"""What several pages use; what one page alone uses lies in `_sections`."""
