"""The configuration: its tables, the loader and the credentials it refers to."""
