"""`edge-tdn doctor`: doctor.py is the command, checklist.py its order and output; each other file examines a part."""
