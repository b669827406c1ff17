"""A site's certificates: ask for one, import, rehearse and watch it; how often to renew.

Renew in this order, while telemetry runs: request, let the authority sign, rehearse, import. Nothing is lost for it.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path

from controller.certs import Places, best_interval_days, check_new, put_in_place, write_request, yearly_cost
from controller.errors import InputError
from controller.security import certificates, find_credential, load_context, stamp
from controller.site import Site, load_site

EXIT_OK, EXIT_DEVICE = 0, 3
ANSWER_S = 20.0


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
    places = places_of(site)
    if args.task == "request":
        write_request(places, site.name)
        print(f"{places.request}: let your authority sign it, then `v2g certs import {args.site} SIGNED.pem`")
    elif args.task == "status":
        status(places, args.json)
    else:
        own = check_new(places, args.certificate, site.name, datetime.now(UTC))
        print(f"{args.certificate}: right, until {stamp(own.not_valid_after_utc)}")
        if args.task == "rehearse":
            return rehearse(site, places, args.certificate)
        put_in_place(places, args.certificate)
        print(f"in place; a running telemetry tries it at the broker, then uses it. Before: {places.certificate}.old")
    return EXIT_OK


def places_of(site: Site) -> Places:
    """Raises InputError: the site shows no certificate."""
    tls = site.telemetry.mqtt.tls if site.telemetry.mqtt else None
    if tls is None or tls.certificate is None or tls.key is None:
        raise InputError(f"{site.where('telemetry.mqtt.tls', 'telemetry.mqtt')}: no tls with certificate and key here")
    ca, certificate, key = (
        find_credential(field, name)
        for field, name in (("ca", tls.ca), ("certificate", tls.certificate), ("key", tls.key))
    )
    return Places(ca, certificate, key)


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


def rehearse(site: Site, places: Places, certificate: Path) -> int:
    """Beside a running telemetry: another client name, no subscription, nothing published."""
    from controller.telemetry.link import Access
    from controller.telemetry.rotation import Trial

    mqtt = site.telemetry.mqtt
    assert mqtt is not None
    context = load_context(places.with_new(certificate))
    trial = Trial(f"v2g-{site.name}-trial", Access(mqtt.host, mqtt.port, mqtt.keepalive_s, context=context), [])
    trial.start()
    deadline_s = time.monotonic() + ANSWER_S
    while not (trial.connected or trial.why) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    accepted, why = trial.connected, trial.why or f"no answer within {ANSWER_S:g} s"
    trial.stop()
    print(f"{mqtt.host}:{mqtt.port}: {'accepts it' if accepted else why}")
    return EXIT_OK if accepted else EXIT_DEVICE


def advise(cost: float, loss: float, thefts: float) -> int:
    if min(cost, loss, thefts) <= 0:
        raise InputError("v2g certs advice: cost, loss and thefts a year are above 0")
    best = best_interval_days(cost, loss, thefts)
    print(f"renew every {best:.0f} days: {yearly_cost(best, cost, loss, thefts):.1f} a year")
    for days in (30, 90, 180, 365):
        print(f"  every {days:>3} days: {yearly_cost(days, cost, loss, thefts):.1f} a year")
    print(
        "This holds while a stolen key costs more the longer it is in use. With one loss at once, whenever it is\n"
        "stolen, renewing helps nothing: each longer interval is cheaper, and the key belongs into hardware instead."
    )
    return EXIT_OK
