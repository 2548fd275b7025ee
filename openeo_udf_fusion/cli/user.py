"""`openeo-udf-fusion user`: the accounts of a server, in a file for `serve --users`.

The password is asked for, read from stdin, or taken from the environment variable OPENEO_UDF_FUSION_PASSWORD.
"""

import argparse
import sys
from pathlib import Path

from openeo_udf_fusion.cli import passwords


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command, its actions and their arguments."""
    parser = subparsers.add_parser(
        "user", help="make the accounts of a server", description=__doc__.replace("`", "")
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("hash", help="print the hash of a password, for a line 'name:hash' of the file")
    for action, text in _ON_FILES.items():
        action_parser = actions.add_parser(action, help=text)
        action_parser.add_argument("file", type=Path, metavar="FILE", help="file of the accounts")
        if action != "list":
            action_parser.add_argument("name", metavar="NAME", help="letters, digits and _ - . ~")


_ON_FILES = {
    "add": "add a user, or give one another password; makes the file",
    "remove": "take a user out; a running server lets nobody of that name in any more",
    "list": "print the names",
}


def run(args: argparse.Namespace) -> int:
    """Do what the action says."""
    from openeo_udf_fusion.local.server import accounts_file
    from openeo_udf_fusion.local.server.accounts import hash_password, read_accounts, require_name

    if args.action == "hash":
        print(hash_password(accounts_file.require_password(passwords.ask("Password"))))
    elif args.action == "add":
        name = require_name(args.name)
        password = accounts_file.require_password(passwords.ask(f"Password of {name}"))
        new = accounts_file.put(args.file, name, hash_password(password))
        print(f"{'added' if new else 'changed the password of'} {name} in {args.file}", file=sys.stderr)
    elif args.action == "remove":
        accounts_file.remove(args.file, args.name)
        print(f"removed {args.name} from {args.file}", file=sys.stderr)
    else:
        print(*read_accounts(args.file), sep="\n")
    return 0
