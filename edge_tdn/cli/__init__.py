"""The commands of `edge-tdn`, one file each: its help, its options (`add_parser`) and what it does (`run`).

Files named after a command load in a moment, because every start of the program imports all of them; what is heavy is
imported inside `run`.
"""
