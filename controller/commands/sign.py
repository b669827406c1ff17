"""Sign a remote command with an Ed25519 key, for whoever commands; or make such a key.

v2g sign --new-key FILE                               writes a key, prints the public one for the site file
v2g sign my-house power p_w=-2000 --key-file FILE --key utility --source operator
                                                      prints what to publish on v2g/my-house/cmd/power
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from controller.errors import InputError
from controller.services.command import Refused, parse
from controller.services.door import signed_bytes, with_signature
from controller.sitedata import NAME

EXIT_OK = 0
MOST_LIFE_S = 86_400.0  # as default_wish.wish_lifetime_s


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", nargs="?", help="name of the site, as in its file")
    parser.add_argument("name", nargs="?", help="power, mode, reserve, stop or resume", metavar="command")
    parser.add_argument(
        "own", nargs="*", help="the command's own keys, like p_w=-2000 or mode=hold", metavar="key=value"
    )
    parser.add_argument(
        "--new-key", type=Path, metavar="FILE", help="write a new private key there and print its public one"
    )
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="private key (PEM)")
    parser.add_argument("--key", metavar="NAME", help="the key's name in the site file")
    parser.add_argument("--source", default="operator", help="default: operator")
    parser.add_argument("--life-s", type=float, default=600.0, help="the command's life; default: 600")


def run(args: argparse.Namespace) -> int:
    if args.new_key:
        print(f"public_key: {new_key(args.new_key)}")
        return EXIT_OK
    if not (args.site and args.name and args.key_file and args.key):
        raise InputError("v2g sign: wanted: SITE COMMAND, --key-file FILE and --key NAME; or --new-key FILE")
    if not re.fullmatch(NAME, args.site):
        raise InputError(f"v2g sign: {args.site!r} is no site's name: 1 ... 32 of a-z, 0-9 and -")
    if not 1.0 <= args.life_s <= MOST_LIFE_S:
        raise InputError(f"v2g sign: --life-s {args.life_s:g}: allowed 1 ... {MOST_LIFE_S:g}")
    now_us = time.time_ns() // 1000
    head = {"v": 1, "key": args.key, "source": args.source, "seq": now_us, "issued_ms": now_us // 1000,
            "expires_ms": now_us // 1000 + round(args.life_s * 1000)}  # fmt: skip
    text = json.dumps({**head, **dict(pair(one) for one in args.own)}, separators=(",", ":")).encode()
    try:
        parse(args.name, text)
    except Refused as refusal:
        raise InputError(f"v2g sign: {refusal}") from None
    signature = private_key(args.key_file).sign(signed_bytes(args.site, args.name, text))
    print(with_signature(text, signature).decode())
    return EXIT_OK


def new_key(path: Path) -> str:
    """Readable by its owner alone; never over another file. -> the public key in base64."""
    key = Ed25519PrivateKey.generate()
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InputError(f"{path} is there already: a key is not written over") from None
    with os.fdopen(file, "wb") as out:
        out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    print("the public key stands in the site file below remote.keys.NAME", file=sys.stderr)
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def private_key(path: Path) -> Ed25519PrivateKey:
    """Raises InputError."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError):
        raise InputError(f"{path} holds no private key in PEM without a passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path} is no Ed25519 key: `v2g sign --new-key FILE` makes one")
    return key


def pair(one: str) -> tuple[str, Any]:
    """key=value: a number, or a word."""
    key, _, value = one.partition("=")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value
