"""Where secrets could be read: bytes by place, and each form in which a secret would show there.

Places   files (archives opened, SQLite and journals as they lie); command lines and environments of processes; whatever
         else a test has as bytes.
Forms    as it is, in base64 at any offset, in hexadecimal, escaped for an address or for JSON; of a private key each
         line of its file and its number as bytes.
"""

from __future__ import annotations

import gzip
import json
import re
import tarfile
import urllib.parse
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

Places = Mapping[str, bytes]


def forms(secret: str) -> set[bytes]:
    """Of a password or token; what stands before it in the same base64 shifts it by 0, 1 or 2 bytes."""
    raw = secret.encode()
    texts = (urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret), json.dumps(secret)[1:-1], raw.hex())
    # six bits a character: those that are the secret's alone
    shifted = (b64encode(bytes(n) + raw)[-(-n * 4 // 3) : (n + len(raw)) * 4 // 3] for n in (0, 1, 2))
    return {raw, *(text.encode() for text in texts), *shifted}


def forms_of_key(file: Path) -> set[bytes]:
    """Of a private key in PEM."""
    key = load_pem_private_key(file.read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    number = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    lines = [line for line in file.read_bytes().splitlines() if b"-----" not in line]
    return {number, number.hex().encode(), *lines}


def found(places: Places, secrets: Mapping[str, set[bytes]]) -> list[str]:
    """`password in logs/bridge.log`, for each that is somewhere."""
    return [f"{name} in {place}" for place, content in places.items() for name, shapes in secrets.items()
            if any(shape in content for shape in shapes)]  # fmt: skip


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """(path, content); of an archive each member too."""
    for file in (f for folder in folders for f in sorted(folder.rglob("*")) if f.is_file()):
        content = file.read_bytes()
        yield str(file), content
        if file.name.endswith(".tar.gz"):
            with tarfile.open(fileobj=BytesIO(gzip.decompress(content))) as archive:
                for member in archive:
                    stream = archive.extractfile(member)
                    yield f"{file}: {member.name}", stream.read() if stream else b""


def processes(pids: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """What anybody (cmdline) and the same user (environ) can read of them."""
    for pid in pids:
        for name in ("cmdline", "environ"):
            yield f"{name} of {pid}", re.sub(rb"\0", b" ", Path(f"/proc/{pid}/{name}").read_bytes())
