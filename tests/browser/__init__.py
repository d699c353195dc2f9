"""The explorer as a person sees it: a real server, headless Chromium. Run by `pytest -m browser`."""
