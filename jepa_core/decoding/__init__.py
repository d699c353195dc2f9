"""Any file to an upright RGB picture or one sentence, in a process that can be killed."""
