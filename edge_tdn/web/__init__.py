"""The page in the browser: its server, the checks of every request, and what it shows."""
