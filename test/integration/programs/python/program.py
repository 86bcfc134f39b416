"""What the Python programs share: options, lines, and the end of stdin."""

import base64
import json
import sys
import threading


class Unsupported(Exception):
    """The client offers no such call."""


def encode(data):
    """Bytes as base64; None stays None."""
    return None if data is None else base64.b64encode(data).decode()


def decode(text):
    """Bytes of base64; None stays None."""
    return None if text is None else base64.b64decode(text)


def decode_headers(headers):
    return [(name, decode(value)) for name, value in headers]


def write(line):
    """Writes one line of JSON at once: whoever reads waits for it."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def read():
    """The lines of stdin."""
    return (json.loads(line) for line in sys.stdin)


def write_record(partition, offset, timestamp, timestamp_type, key, value, headers):
    write(
        {
            "partition": partition,
            "offset": offset,
            "timestamp": timestamp,
            "timestampType": timestamp_type,
            "key": encode(key),
            "value": encode(value),
            "headers": [[name, encode(data)] for name, data in headers or []],
        }
    )


def end_of_input():
    """An event that is set when stdin ends."""
    ended = threading.Event()

    def wait():
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended


def answer_commands(commands, error_code):
    """Answers each line of stdin; error_code tells an exception's number or raises it again."""
    for command in read():
        call = commands.get(command["do"])
        if call is None:
            write({"unsupported": True})
            continue
        try:
            write({"error": 0, **(call(command) or {})})
        except Unsupported:
            write({"unsupported": True})
        except Exception as exception:
            write({"error": error_code(exception)})


def run(commands):
    """Runs what the command line names."""
    commands[sys.argv[1]](json.loads(sys.argv[2]))
