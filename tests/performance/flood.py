"""Publish a file of messages with QoS 1, as fast as the broker takes them; hear what is acknowledged.

python -m tests.performance.flood FILE PORT SHIFT: a line is a topic, a space, a body; its time is SHIFT ms later.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main(path: Path, port: int, shift_ms: int) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.max_inflight_messages_set(200)
    client.on_connect = lambda connected, *_: connected.subscribe("v2g/+/ack", qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    under_way = []
    later = re.sub(rb'"t_ms":(\d+)', lambda found: b'"t_ms":%d' % (int(found[1]) + shift_ms), path.read_bytes())
    for message in later.split(b"\n"):
        topic, _, body = message.partition(b" ")
        under_way.append(client.publish(topic.decode(), body, qos=1))
    for one in under_way:
        one.wait_for_publish(60.0)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
