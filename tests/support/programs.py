"""The parsers of the three programs, with all of their commands."""

from edge_tdn_export.__main__ import _parser as export_parser
from edge_tdn_training.__main__ import _parser as train_parser

from edge_tdn.cli.command_line import parser
from edge_tdn.help.parser import Parser

PROGRAMS: dict[str, Parser] = {one.prog: one for one in (parser(), export_parser(), train_parser())}
