"""Desk: what the broker brings that is no acknowledgement goes through here: commands, and Home Assistant's birth.

A desk is there only for a site that enables one of the two.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from controller.services.memory import load
from controller.services.pace import Limits
from controller.services.remote import Event, Remote
from controller.services.rights import door_of
from controller.services.wishes import Wishes
from controller.site import Site
from controller.siteremote import bounds_of, told
from controller.telemetry.homeassistant import announcement, birth_topic, config_topic
from controller.telemetry.publisher import MqttDelivery
from controller.telemetry.wire import command_topics, state_topic

log = logging.getLogger(__name__)


class Desk:
    """remote: None when the site takes no commands. announcing: (topic, payload) for Home Assistant, or None."""

    def __init__(self, delivery: MqttDelivery, remote: Remote | None, birth: str = "",
                 announcing: tuple[str, bytes] | None = None) -> None:  # fmt: skip
        self.delivery, self.remote, self.birth, self.announcing = delivery, remote, birth, announcing
        self._connection = 0
        self._newest: dict[str, Any] | None = None  # live frame that nobody has been shown

    def turn(self, soc_pu: float | None) -> list[Event]:
        """Take what has arrived, and show the newest frame. -> events for the outbox."""
        self._show()
        messages = self.delivery.others()
        born = any(m.topic == self.birth and m.payload == b"online" for m in messages)
        if self.announcing and self.delivery.connected and (born or self.delivery.connection != self._connection):
            self._connection = self.delivery.connection
            self.delivery.link.retain(*self.announcing)
        if self.remote is None:
            return []
        return self.remote.turn([m for m in messages if m.topic != self.birth], soc_pu)

    def live(self, body: dict[str, Any]) -> None:
        """Complete a live frame. Of those that come in one turn only the newest is shown."""
        if self.remote is not None:
            body["remote"] = self.remote.frame()
        self._newest = body

    def _show(self) -> None:
        """To Home Assistant. What cannot go out now is old when it can."""
        body, self._newest = self._newest, None
        if body is not None and self.announcing and self.delivery.connected:
            payload = json.dumps(body, separators=(",", ":")).encode()
            self.delivery.link.publish(state_topic(self.delivery.site), payload)


def topics_of(site: Site) -> list[str]:
    """What a desk of this site must subscribe to."""
    commands = [command_topics(site.name)] if site.remote.enable else []
    return commands + ([birth_topic(site.home_assistant.prefix)] if site.home_assistant.enable else [])


def make_desk(site: Site, delivery: MqttDelivery) -> Desk | None:
    """As the site chose."""
    remote, home = None, site.home_assistant
    if site.remote.enable:
        memory = load(site.state_dir / "remote.json", time.time_ns() // 1_000_000)
        bounds = bounds_of(site)
        log.warning("V2G-REMOTE-ON remote commands are taken: %s", told(bounds, site.remote))
        limits = Limits(site.remote.per_minute, site.remote.turns_per_hour, site.remote.spread_s)
        remote = Remote(door_of(site, bounds), limits, Wishes(site.runtime_dir / "wishes"), memory)
    if not home.enable:
        return Desk(delivery, remote) if remote else None
    announcing = (config_topic(home.prefix, site.name), json.dumps(announcement(site), ensure_ascii=False).encode())
    return Desk(delivery, remote, birth_topic(home.prefix), announcing)
