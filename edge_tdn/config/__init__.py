"""The site configuration: its tables, how the TOML file is read, and the credentials that it refers to."""
