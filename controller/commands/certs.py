"""A site's certificates: ask for one, import, rehearse and watch it; how often to renew.

Renew in this order, while telemetry runs: request, let the authority sign, rehearse, import. Nothing is lost for it.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path

from controller.certs import (
    FOLDER,
    Places,
    best_interval_days,
    check_new,
    common_name,
    put_in_place,
    write_request,
    yearly_cost,
)
from controller.errors import InputError
from controller.security import certificates, load_context, stamp
from controller.site import Site, load_site
from controller.sitedata import BridgeSite
from controller.sitemqtt import WHERE

EXIT_OK, EXIT_DEVICE = 0, 3
ANSWER_S = 20.0
LEAST, MOST = 1e-9, 1e15  # of what advice reckons with


def add_arguments(parser: argparse.ArgumentParser) -> None:
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name, line in (
        ("request", "make a new key, and the request that the authority signs"),
        ("rehearse", "connect to the broker once with the new certificate, beside the old"),
        ("import", "check a signed certificate and put it in place"),
        ("status", "which certificates are in use, and how many days are left"),
    ):
        task = tasks.add_parser(name, help=line, description=line)
        task.add_argument("site", type=Path, help="site file, or the name of one")
        task.add_argument("--bridge", action="store_true", help="the bridge's own (telemetry.mqtt.bridge)")
        if name in ("rehearse", "import"):
            task.add_argument("certificate", type=Path, help="what the authority has signed (PEM)")
        if name == "status":
            task.add_argument("--json", action="store_true", help="as JSON")
    advice = tasks.add_parser("advice", help="how often to renew", description="How often to renew.")
    advice.add_argument("--cost", type=float, default=25.0, help="of one renewal; default: 25")
    advice.add_argument(
        "--loss-a-year", type=float, default=50_000.0, help="of a thief's use for a year; default: 50000"
    )
    advice.add_argument("--thefts-a-year", type=float, default=0.02, help="of the key; default: 0.02")


def run(args: argparse.Namespace) -> int:
    if args.task == "advice":
        return advise(args.cost, args.loss_a_year, args.thefts_a_year)
    site = load_site(args.site)
    places, name = places_of(site, args.bridge)
    more = " --bridge" if args.bridge else ""
    if args.task == "request":
        write_request(places, name)
        print(f"{places.request}: let your authority sign it, then `v2g certs import {args.site} SIGNED.pem{more}`")
    elif args.task == "status":
        status(places, args.json)
    else:
        own = check_new(places, args.certificate, name, datetime.now(UTC))
        print(f"{args.certificate}: right, until {stamp(own.not_valid_after_utc)}")
        if args.task == "rehearse":
            return rehearse(site, places, args.certificate, args.bridge)
        put_in_place(places, args.certificate)
        who = "bridge" if args.bridge else "telemetry"
        print(f"in place; a running {who} tries it at the broker, then uses it. Before: {places.certificate}.old")
    return EXIT_OK


def places_of(site: Site, bridge: bool) -> tuple[Places, str]:
    """(where the files are, whom the certificate is for). Raises InputError: there are none, or none to renew."""
    mqtt, group = site.telemetry.mqtt, "bridge" if bridge else "tls"
    own = getattr(mqtt, group, None)
    if mqtt is None or mqtt.tls is None or own is None or own.certificate is None or own.key is None:
        where = site.where(f"{WHERE}.{group}", WHERE)
        raise InputError(f"{where}: no {group} with certificate and key here")
    found = {f"{WHERE}.tls.ca": mqtt.tls.ca, f"{WHERE}.{group}.certificate": own.certificate,
             f"{WHERE}.{group}.key": own.key}  # fmt: skip
    for key, name in found.items():
        if not name.startswith("/"):
            raise InputError(
                f"{site.where(key)}: {name} is a credential, which systemd hands over once, when the service starts: "
                f"for certificates that are renewed write a path from the root, as {FOLDER}/house.pem"
            )
    ca, certificate, key_file = map(Path, found.values())
    return Places(ca, certificate, key_file), bridge_name(certificate) if bridge else site.name


def bridge_name(certificate: Path) -> str:
    """Bridges that share the load share their rights, and so a name that is not their own. Raises SecurityError."""
    return common_name(certificates("certificate", certificate)[0]) if certificate.exists() else BridgeSite().name


def status(places: Places, as_json: bool) -> None:
    now = datetime.now(UTC)
    found = [(field, path, one) for field, path in (("ca", places.ca), ("certificate", places.certificate))
             for one in certificates(field, path)]  # fmt: skip
    rows = [{"use": field, "file": str(path), "name": one.subject.rfc4514_string(),
             "from": stamp(one.not_valid_before_utc), "until": stamp(one.not_valid_after_utc),
             "days_left": (one.not_valid_after_utc - now).days} for field, path, one in found]  # fmt: skip
    if as_json:
        print(json.dumps({"v": 1, "certificates": rows}))
        return
    for row in rows:
        left = f"{row['days_left']} days left" if now < datetime.fromisoformat(str(row["until"])) else "EXPIRED"
        print(f"{row['use']:<12}{row['name']}: until {row['until']}, {left} ({row['file']})")


def rehearse(site: Site, places: Places, certificate: Path, bridge: bool) -> int:
    """Beside a running telemetry: another client name, no subscription, nothing published."""
    from controller.telemetry.access import login
    from controller.telemetry.link import Access
    from controller.telemetry.rotation import Trial

    mqtt = site.telemetry.mqtt
    assert mqtt is not None
    context = load_context(places.with_new(certificate))
    user, password = login(mqtt, (bridge and mqtt.bridge) or BridgeSite())
    access = Access(mqtt.host, mqtt.port, mqtt.keepalive_s, mqtt.protocol, user, password, context)
    trial = Trial(f"v2g-{site.name}-trial", access, [])
    trial.start()
    deadline_s = time.monotonic() + ANSWER_S
    while not (trial.connected or trial.why) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    accepted, why = trial.connected, trial.why or f"no answer within {ANSWER_S:g} s"
    trial.stop()
    print(f"{mqtt.host}:{mqtt.port}: {'accepts it' if accepted else why}")
    return EXIT_OK if accepted else EXIT_DEVICE


def advise(cost: float, loss: float, thefts: float) -> int:
    if not all(LEAST <= value <= MOST for value in (cost, loss, thefts)):
        raise InputError(f"v2g certs advice: cost, loss and thefts a year are numbers, {LEAST:g} ... {MOST:g}")
    best = best_interval_days(cost, loss, thefts)
    print(f"renew every {best:.0f} days: {yearly_cost(best, cost, loss, thefts):.1f} a year")
    for days in (30, 90, 180, 365):
        print(f"  every {days:>3} days: {yearly_cost(days, cost, loss, thefts):.1f} a year")
    print(
        "This holds while a stolen key costs more the longer it is in use. With one loss at once, whenever it is\n"
        "stolen, renewing helps nothing: each longer interval is cheaper, and the key belongs into hardware instead."
    )
    return EXIT_OK
