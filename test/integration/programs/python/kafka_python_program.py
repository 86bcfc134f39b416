"""kafka-python as a program: see ../README.md."""

import re
import time

import kafka.errors
from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
)
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec, OffsetTimestamp
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

import program


def connection(options):
    return {"bootstrap_servers": options["bootstrap"], **options.get("settings", {})}


def produce(options):
    producers = {}
    futures = []
    for record in program.read():
        codec = record["codec"]
        if codec not in producers:
            producers[codec] = KafkaProducer(
                **connection(options),
                compression_type=None if codec == "none" else codec,
                linger_ms=20,
                acks="all",
                enable_idempotence=options.get("idempotent", False),
            )
        future = producers[codec].send(
            options["topic"],
            value=program.decode(record["value"]),
            key=program.decode(record["key"]),
            headers=program.decode_headers(record["headers"]),
            partition=None if record["partition"] < 0 else record["partition"],
            timestamp_ms=record["timestamp"],
        )
        futures.append(future)
    for producer in producers.values():
        producer.flush()
    for future in futures:
        try:
            metadata = future.get(10)
            program.write({"partition": metadata.partition, "offset": metadata.offset})
        except KafkaError as error:
            program.write({"error": error.errno})
    for producer in producers.values():
        producer.close()


def seek(options, consumer, parts):
    start = options["start"]
    if start == "earliest":
        consumer.seek_to_beginning(*parts)
    elif "offset" in start:
        for part in parts:
            consumer.seek(part, start["offset"])
    else:
        found = consumer.offsets_for_times({part: start["timestamp"] for part in parts})
        for part, position in found.items():
            if position is None:
                consumer.seek_to_end(part)
            else:
                consumer.seek(part, position.offset)


def consume(options):
    consumer = KafkaConsumer(**connection(options), enable_auto_commit=False)
    parts = [TopicPartition(options["topic"], number) for number in options["partitions"]]
    consumer.assign(parts)
    seek(options, consumer, parts)
    deadline = time.monotonic() + options["timeoutMs"] / 1000
    count = 0
    while count < options["count"] and time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=200).values():
            for record in records:
                program.write_record(
                    record.partition,
                    record.offset,
                    record.timestamp,
                    record.timestamp_type,
                    record.key,
                    record.value,
                    record.headers,
                )
                count += 1
    consumer.close()


class Listener(ConsumerRebalanceListener):
    """Tells what happens. It cannot commit: it runs on the loop that would have to send that."""

    def on_partitions_assigned(self, assigned):
        program.write({"event": "assigned", "partitions": [part.partition for part in assigned]})

    def on_partitions_revoked(self, revoked):
        program.write({"event": "revoked", "partitions": [part.partition for part in revoked]})

    def on_partitions_lost(self, lost):
        program.write({"event": "lost", "partitions": [part.partition for part in lost]})


def group(options):
    cooperative = options["protocol"] == "cooperative"
    consumer = KafkaConsumer(
        **connection(options),
        group_id=options["group"],
        group_instance_id=options.get("instance"),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=options["sessionTimeoutMs"],
        heartbeat_interval_ms=options["heartbeatMs"],
        # Everything polled is committed before the next poll, in which partitions are given up.
        max_poll_records=options["commitEvery"],
        partition_assignment_strategy=[
            CooperativeStickyAssignor if cooperative else RangePartitionAssignor
        ],
    )
    consumer.subscribe([options["topic"]], listener=Listener())
    ended = program.end_of_input()
    while not ended.is_set():
        positions = {}
        # Longer than joining takes: where a poll's time is up in the moment in which an assignment
        # comes, this client takes no note of it and sends no heartbeats any more (3.0.12).
        for part, records in consumer.poll(timeout_ms=1500).items():
            for record in records:
                program.write(
                    {
                        "event": "record",
                        "partition": record.partition,
                        "offset": record.offset,
                        "value": program.encode(record.value),
                    }
                )
                time.sleep(options["handleMs"] / 1000)
            positions[part] = OffsetAndMetadata(records[-1].offset + 1, "", -1)
        if not positions:
            continue
        try:
            consumer.commit(positions)
        except KafkaError as error:
            program.write({"event": "commitFailed", "error": error.errno})
            continue
        offsets = {part.partition: position.offset for part, position in positions.items()}
        program.write({"event": "committed", "offsets": offsets})
    consumer.close()
    program.write({"event": "left"})


class Admin:
    """Admin commands; the client answers some errors as values and some by their names."""

    def __init__(self, options):
        self.client = KafkaAdminClient(**connection(options))

    def create_topic(self, command):
        topic = {
            "num_partitions": command["partitions"],
            "replication_factor": 1,
            "configs": command.get("configs", {}),
        }
        validate_only = command.get("validateOnly", False)
        self.client.create_topics({command["name"]: topic}, validate_only=validate_only)

    def describe_topic(self, command):
        (topic,) = self.client.describe_topics([command["name"]])
        if topic["error_code"] != 0:
            return {"error": topic["error_code"]}
        return {"partitions": len(topic["partitions"])}

    def list_topics(self, _):
        return {"topics": sorted(self.client.list_topics())}

    def create_partitions(self, command):
        self.client.create_partitions({command["name"]: command["count"]})

    def describe_configs(self, command):
        resource = ConfigResource(ConfigResourceType.TOPIC, command["name"])
        described = self.client.describe_configs([resource], config_filter="all")
        configs = described["topic"][command["name"]]
        return {"configs": {name: entry["value"] for name, entry in configs.items()}}

    def alter_configs(self, command):
        changes = {name: ("SET", value) for name, value in command["set"].items()}
        changes.update({name: ("DELETE", None) for name in command["remove"]})
        resource = ConfigResource(ConfigResourceType.TOPIC, command["name"], configs=changes)
        answer = self.client.alter_configs([resource], raise_on_unknown=False)
        # {"topic": {NAME: "OK", or the error's name and its message}}
        result = answer["topic"][command["name"]]
        return None if result == "OK" else {"error": named_error(result)}

    def delete_records(self, command):
        part = TopicPartition(command["name"], command["partition"])
        self.client.delete_records({part: command["offset"]})

    def list_offsets(self, command):
        at = command["at"]
        specs = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST}
        part = TopicPartition(command["name"], command["partition"])
        spec = specs[at] if at in specs else OffsetTimestamp(at)
        return {"offset": self.client.list_partition_offsets({part: spec})[part].offset}

    def list_groups(self, _):
        return {"groups": sorted(group["group_id"] for group in self.client.list_groups())}

    def describe_group(self, command):
        group = self.client.describe_groups([command["group"]])[command["group"]]
        if group["error"] is not None:
            return {"error": named_error(group["error"])}
        return {"state": group["group_state"].upper(), "members": len(group["members"])}

    def committed_offsets(self, command):
        offsets = self.client.list_group_offsets(command["group"])[command["group"]]
        return {
            "offsets": {
                f"{part.topic}:{part.partition}": position.offset
                for part, position in offsets.items()
            }
        }

    def commit_offsets(self, command):
        offsets = {
            TopicPartition(command["name"], int(partition)): OffsetAndMetadata(offset, "", -1)
            for partition, offset in command["offsets"].items()
        }
        results = self.client.alter_group_offsets(command["group"], offsets)
        return {"error": max(error.errno for error in results.values())}

    def delete_group(self, command):
        result = self.client.delete_groups([command["group"]])[command["group"]]
        return None if result == "OK" else {"error": named_error(result)}

    def delete_topic(self, command):
        self.client.delete_topics([command["name"]])

    def describe_cluster(self, _):
        cluster = self.client.describe_cluster()
        return {"clusterId": cluster["cluster_id"], "brokers": len(cluster["brokers"])}

    def describe_log_dirs(self, command):
        (broker,) = self.client.describe_log_dirs({command["name"]: [0]})
        topics = [topic for log_dir in broker["log_dirs"] for topic in log_dir["topics"]]
        return {"topics": sorted(topic["name"] for topic in topics)}


def named_error(text):
    """The number of an error that the client tells by its class's name, alone or in a sentence."""
    for name in re.findall(r"\w+", text):
        found = getattr(kafka.errors, name, None)
        if found is not None and hasattr(found, "errno"):
            return found.errno
    raise ValueError(f"no error is named in {text!r}")


def admin(options):
    client = Admin(options)

    def error_code(exception):
        if isinstance(exception, KafkaError) and exception.errno is not None:
            return exception.errno
        raise exception

    program.answer_commands(
        {
            "createTopic": client.create_topic,
            "describeTopic": client.describe_topic,
            "listTopics": client.list_topics,
            "createPartitions": client.create_partitions,
            "describeConfigs": client.describe_configs,
            "alterConfigs": client.alter_configs,
            "deleteRecords": client.delete_records,
            "listOffsets": client.list_offsets,
            "listGroups": client.list_groups,
            "describeGroup": client.describe_group,
            "committedOffsets": client.committed_offsets,
            "commitOffsets": client.commit_offsets,
            "deleteGroup": client.delete_group,
            "deleteTopic": client.delete_topic,
            "describeCluster": client.describe_cluster,
            "describeLogDirs": client.describe_log_dirs,
        },
        error_code,
    )


if __name__ == "__main__":
    program.run({"produce": produce, "consume": consume, "group": group, "admin": admin})
