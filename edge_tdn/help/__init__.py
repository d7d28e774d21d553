"""The help of all three programs: texts, parsers with spelling suggestions, man pages, completion, and documents."""
