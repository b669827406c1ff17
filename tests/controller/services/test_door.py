"""Signed commands: what a right key may do, what no wrong one may, and that no signature widens the bounds of a site.

The signature itself is checked against the first two vectors of RFC 8032, section 7.1.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from controller.cli import main
from controller.security import verify
from controller.services.command import COMMANDS, MODES, Refused
from controller.services.door import Door, Key, signed_bytes, split, with_signature
from cython_core.records import WishSource
from tests.controller.services.test_remote import BOUNDS, NOW_MS, Rig, hand_over
from tests.cython_core.unit import Unit

OPERATOR_KEY, HOME_KEY = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


SITE = replace(BOUNDS, sources=("home", "operator", "ems"))
KEYS = {
    "utility": Key(public(OPERATOR_KEY), ("operator",), ("power", "stop", "mode"), -3000.0, 2000.0),
    "house": Key(public(HOME_KEY), ("home",), tuple(COMMANDS), -7000.0, 5000.0),
}


def signed(rig: Rig, name: str, key: Ed25519PrivateKey = OPERATOR_KEY, site: str = "home", **body: Any) -> bytes:
    """A right command of the utility, with changes."""
    text = json.dumps(rig.body(**{"source": "operator", "key": "utility", **body})).encode()
    return with_signature(text, key.sign(signed_bytes(site, name, text)))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Nobody is believed without a signature, but for the house's management system."""
    return Rig(tmp_path, bounds=SITE, keys=KEYS, unsigned=("ems",))


# fmt: off
VECTORS = [
    # public key, signature, message: RFC 8032, section 7.1, tests 1 and 2
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141"
     "438e7a100b", ""),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d29"
     "1612bb0c00", "72"),
]
# fmt: on


@pytest.mark.parametrize(("key", "signature", "message"), VECTORS, ids=["empty", "one byte"])
def test_the_vectors_of_the_standard(key: str, signature: str, message: str) -> None:
    parts = [bytes.fromhex(part) for part in (key, signature, message)]
    assert verify(*parts)
    assert not verify(parts[0], parts[1], parts[2] + b"\x00")


def test_a_signed_command_is_taken_and_its_key_is_told(rig: Rig) -> None:
    [(event, facts)] = rig.receive("power", signed(rig, "power", p_w=1500))
    assert (event, facts["source"], facts["key"], facts["p_w"]) == ("command_accepted", "operator", "utility", 1500.0)
    assert rig.power(WishSource.OPERATOR) == (-3000.0, 2000.0, 1500.0), "the key's own bounds are its range"


def test_a_mode_means_all_that_the_key_may_ask_for(rig: Rig) -> None:
    rig.receive("mode", signed(rig, "mode", mode="charge"))
    assert rig.power(WishSource.OPERATOR) == (-3000.0, 2000.0, -3000.0)


def altered(change: Callable[[bytes], bytes]) -> Callable[[Rig], bytes]:
    return lambda rig: change(signed(rig, "power", p_w=1500))


# fmt: off
REFUSED: list[tuple[Callable[[Rig], bytes], str, str]] = [
    # what arrives on cmd/power                                                     reason       why
    (lambda rig: json.dumps(rig.body(source="operator", p_w=1500)).encode(),        "unsigned",  "no signature at all"),
    (lambda rig: json.dumps(rig.body(source="home", p_w=1500)).encode(),  "unsigned", "another's name, unsigned"),
    (lambda rig: signed(rig, "power", key=HOME_KEY, p_w=1500),  "signature", "forged: not the key named"),
    (lambda rig: signed(rig, "power", key=HOME_KEY, p_w=1500).replace(b'"utility"', b'"house"'),
  "signature", "the key renamed later"),
    (altered(lambda sent: sent.replace(b'"p_w": 1500', b'"p_w": 1900')),  "signature", "power changed on the way"),
    (altered(lambda sent: sent.replace(b'"seq": 1', b'"seq": 2')),  "signature", "number changed: a replay"),
    (altered(lambda sent: sent.replace(b"600000", b"700000")),                      "signature", "expiry put off"),
    (altered(lambda sent: sent.replace(b'"p_w": 1500', b'"p_w":  1500')),           "signature", "one space more"),
    (lambda rig: signed(rig, "power", site="other", p_w=1500),  "signature", "meant for another house"),
    (lambda rig: signed(rig, "mode", p_w=1500),  "signature", "signed as another command"),
    (lambda rig: with_key(rig, "nobody"),  "signature", "a key that is not here"),
    (lambda rig: with_key(rig, None),                                               "signature", "no key is named"),
    (altered(lambda sent: sent[:-3] + b'"}'),  "malformed", "a signature cut short"),
    (altered(lambda sent: sent + b" "),  "malformed", "not the end of the text"),
    (lambda rig: signed(rig, "power", source="home", p_w=1500),  "rights", "not this key's source"),
    (lambda rig: signed(rig, "power", p_w=2001),  "bounds", "above the key's bound"),
    (lambda rig: signed(rig, "power", p_w=4000),  "bounds", "the site would, the key not"),
    (lambda rig: signed(rig, "power", p_w=0, lo_w=-3001),  "bounds", "a range beyond the key's"),
    (lambda rig: signed(rig, "power", p_w=1500, issued_ms=NOW_MS - 31_000),  "expired", "kept back on the way"),
    (lambda rig: signed(rig, "power", p_w=1500, expires_ms=NOW_MS + 10**7),         "lifetime",  "as long as any"),
]
# fmt: on


def with_key(rig: Rig, name: str | None) -> bytes:
    text = json.dumps(rig.body(source="operator", p_w=1500, **({"key": name} if name else {}))).encode()
    return with_signature(text, OPERATOR_KEY.sign(signed_bytes("home", "power", text)))


@pytest.mark.parametrize(("message", "reason", "why"), REFUSED, ids=[f"{c[1]}: {c[2]}" for c in REFUSED])
def test_what_is_refused(rig: Rig, message: Callable[[Rig], bytes], reason: str, why: str) -> None:
    [(event, facts)] = rig.receive("power", message(rig))
    assert (event, facts["reason"]) == ("command_refused", reason), (why, facts)
    assert [rig.power(s) for s in WishSource if s] == [None] * 7
    rig.seq += 10
    [(event, _)] = rig.receive("power", signed(rig, "power", p_w=1500))
    assert event == "command_accepted", "and the source is not locked out"


def test_a_key_signs_only_its_commands(rig: Rig) -> None:
    [(_, facts)] = rig.receive("reserve", signed(rig, "reserve", soc_pu=0.5))
    assert facts["reason"] == "rights"


def test_a_signed_command_is_taken_once(rig: Rig) -> None:
    sent = signed(rig, "power", p_w=1500)
    assert rig.receive("power", sent)[0][0] == "command_accepted"
    assert rig.receive("power", sent)[0][1]["reason"] == "replayed"
    rig.restart()
    assert rig.receive("power", sent)[0][1]["reason"] == "replayed"


def test_whom_the_site_believes_needs_no_signature(rig: Rig) -> None:
    assert rig.send("power", p_w=1000, source="ems")["event"] == "command_accepted"


@given(flip=st.integers(0, 10**6), by=st.integers(1, 255))
def test_no_changed_byte_of_a_signed_command_is_taken(
    tmp_path_factory: pytest.TempPathFactory, flip: int, by: int
) -> None:
    """The base64 of 64 bytes has four spare bits in its last letter: they change no signature."""
    rig = Rig(tmp_path_factory.mktemp("rig"), keys=KEYS, unsigned=("ems",))
    sent = bytearray(signed(rig, "power", p_w=1500))
    at = flip % len(sent)
    sent[at] ^= by
    [(event, _)] = rig.receive("power", bytes(sent))
    spare = split(bytes(sent)) == split(bytes(sent[:at]) + bytes([sent[at] ^ by]) + bytes(sent[at + 1 :]))
    assert event == ("command_accepted" if spare else "command_refused")


# ---- a stolen key ----

EDGES = st.sampled_from((-7001.0, -7000.0, -3000.0, 0.0, 2000.0, 5000.0, 5001.0, 1e300))
POWERS = st.one_of(EDGES, st.floats(-20_000, 20_000))


@given(
    own=st.tuples(POWERS, POWERS),
    site=st.tuples(st.floats(-8000, 0), st.floats(0, 8000)),
)
def test_no_keys_bounds_reach_beyond_the_sites(own: tuple[float, float], site: tuple[float, float]) -> None:
    """Whatever stands in a key, also what no site file could say."""
    bounds = replace(BOUNDS, p_min_w=site[0], p_max_w=site[1])
    inside = Key(b"", ("home", "bench"), (), *own).inside(bounds)
    assert site[0] <= inside.p_min_w <= site[1]
    assert site[0] <= inside.p_max_w <= site[1]
    assert inside.sources == ("home",)
    assert (inside.lifetime_ms, inside.max_age_ms, inside.soc_min_pu) == (900_000, 30_000, 0.2)


@st.composite
def commands(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(sorted(COMMANDS)))
    keys: dict[str, dict[str, Any]] = {
        "power": {"p_w": POWERS},
        "mode": {"mode": st.sampled_from(MODES)},
        "reserve": {"soc_pu": st.floats(0, 1)},
    }
    body = {key: draw(values) for key, values in keys.get(name, {}).items()}
    if name == "power":
        body |= {key: draw(POWERS) for key in draw(st.sets(st.sampled_from(("lo_w", "hi_w"))))}
    return name, body


@given(sent=st.lists(commands(), max_size=8))
def test_a_stolen_aggregator_key_cannot_move_power_outside_the_sites_bounds(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[str, dict[str, Any]]]
) -> None:
    """Every message is rightly signed with a key that may do all; the real core has a unit twice as large."""
    thief = {"utility": Key(public(OPERATOR_KEY), ("operator",), tuple(COMMANDS), -1e9, 1e9)}
    rig = Rig(tmp_path_factory.mktemp("rig"), keys=thief, unsigned=())
    unit = Unit(
        rating={"p_rated_w": 14_000.0, "p_charge_rated_w": 14_000.0, "s_rated_va": 14_000.0},
        limits={"ramp_pu_s": 10.0},
        default_wish={"charge_w": 1400.0},
    )
    for name, body in sent:
        rig.receive(name, signed(rig, name, **body))
        hand_over(rig, unit)
        record = unit.advance(2.0)
        assert BOUNDS.p_min_w <= record.p_cmd_w <= BOUNDS.p_max_w


def test_the_door_believes_nobody_by_default() -> None:
    with pytest.raises(Refused, match="must sign"):
        Door("home", BOUNDS, (), {}).enter("stop", b'{"v":1,"source":"home","seq":1,"issued_ms":1,"expires_ms":2}')


# ---- v2g sign ----


def test_what_v2g_sign_prints_is_taken(rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "utility.key"
    assert main(["sign", "--new-key", str(file)]) == 0
    public_key = capsys.readouterr().out.removeprefix("public_key: ").strip()
    assert file.stat().st_mode & 0o777 == 0o600
    rig.keys = {"utility": replace(KEYS["utility"], public=base64.b64decode(public_key))}
    rig.now = rig.now._replace(wall_ms=time.time_ns() // 1_000_000)
    rig.restart()
    assert main(["sign", "home", "power", "p_w=1500", "--key-file", str(file), "--key", "utility"]) == 0
    [(event, facts)] = rig.receive("power", capsys.readouterr().out.strip().encode())
    assert (event, facts.get("p_w")) == ("command_accepted", 1500.0)


KEY = ["--key-file", "k", "--key", "utility"]
# fmt: off
ARGUMENTS = [
    # what is typed after `v2g sign`                                        said
    (["home", "power"],                                                     "--key-file FILE and --key NAME"),
    (["home", "power", "p_w=x", *KEY],                                      '"p_w" is not a finite number'),
    (["home", "explode", *KEY],                                             "no command 'explode'"),
    (["home", "stop", "--key-file", "/etc/hostname", "--key", "utility"],   "holds no private key in PEM"),
    (["--new-key", "/etc/hostname"],                                        "is there already"),
    (["home", "stop", "--life-s", "nan", *KEY],                             "--life-s nan: allowed 1 ... 86400"),
    (["home", "stop", "--life-s", "inf", *KEY],                             "--life-s inf: allowed 1 ... 86400"),
    (["home", "stop", "--life-s", "-5", *KEY],                              "--life-s -5: allowed 1 ... 86400"),
    (["h\udcff", "stop", *KEY],                                             "is no site's name"),
    (["home", "power", "p_w=" + "[" * 2000, *KEY],                          "2128 bytes are more than 1024"),
]
# fmt: on


@pytest.mark.parametrize(("typed", "said"), ARGUMENTS, ids=[c[1] for c in ARGUMENTS])
def test_a_wrong_line_is_told(typed: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sign", *typed]) == 2
    assert said in capsys.readouterr().err
