"""confluent-kafka as a program: see ../README.md."""

import time

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    OFFSET_BEGINNING,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

import program


def connection(options):
    return {"bootstrap.servers": options["bootstrap"], **options.get("settings", {})}


def produce(options):
    producers = {}
    acks = []

    def producer_of(codec):
        if codec not in producers:
            producers[codec] = Producer(
                {
                    **connection(options),
                    "compression.type": codec,
                    "linger.ms": 20,
                    # librdkafka's own default differs from every other client's.
                    "partitioner": "murmur2_random",
                    "enable.idempotence": options.get("idempotent", False),
                }
            )
        return producers[codec]

    for index, record in enumerate(program.read()):
        acks.append(None)

        def delivered(error, message, index=index):
            if error is not None:
                acks[index] = {"error": error.code()}
            else:
                acks[index] = {"partition": message.partition(), "offset": message.offset()}

        producer = producer_of(record["codec"])
        arguments = {
            "value": program.decode(record["value"]),
            "key": program.decode(record["key"]),
            "headers": program.decode_headers(record["headers"]),
            "on_delivery": delivered,
        }
        if record["partition"] >= 0:
            arguments["partition"] = record["partition"]
        if record["timestamp"] is not None:
            arguments["timestamp"] = record["timestamp"]
        while True:
            try:
                producer.produce(options["topic"], **arguments)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    for producer in producers.values():
        producer.flush()
    for ack in acks:
        program.write(ack)


def start_of(options, consumer, partition):
    start = options["start"]
    topic = options["topic"]
    if start == "earliest":
        return TopicPartition(topic, partition, OFFSET_BEGINNING)
    if "offset" in start:
        return TopicPartition(topic, partition, start["offset"])
    asked = [TopicPartition(topic, partition, start["timestamp"])]
    return consumer.offsets_for_times(asked, 60)[0]


def consume(options):
    consumer = Consumer(
        {**connection(options), "group.id": "not-used", "enable.auto.commit": False}
    )
    consumer.assign(
        [start_of(options, consumer, partition) for partition in options["partitions"]]
    )
    deadline = time.monotonic() + options["timeoutMs"] / 1000
    count = 0
    while count < options["count"] and time.monotonic() < deadline:
        for message in consumer.consume(options["count"] - count, 0.2):
            if message.error():
                raise KafkaException(message.error())
            kind, timestamp = message.timestamp()
            program.write_record(
                message.partition(),
                message.offset(),
                timestamp,
                # librdkafka counts from "not available".
                kind - 1,
                message.key(),
                message.value(),
                message.headers(),
            )
            count += 1
    consumer.close()


class Member:
    """One member of a group, which commits what it has handled."""

    def __init__(self, options):
        self.options = options
        self.positions = {}
        settings = {
            **connection(options),
            "group.id": options["group"],
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
        if options["protocol"] == "consumer":
            settings["group.protocol"] = "consumer"
        else:
            cooperative = options["protocol"] == "cooperative"
            settings["partition.assignment.strategy"] = (
                "cooperative-sticky" if cooperative else "range"
            )
            settings["session.timeout.ms"] = options["sessionTimeoutMs"]
            settings["heartbeat.interval.ms"] = options["heartbeatMs"]
        if options.get("instance") is not None:
            settings["group.instance.id"] = options["instance"]
        self.consumer = Consumer(settings)

    def assigned(self, _, partitions):
        program.write({"event": "assigned", "partitions": [part.partition for part in partitions]})

    def revoked(self, _, partitions):
        self.commit()
        self.forget("revoked", partitions)

    def lost(self, _, partitions):
        self.forget("lost", partitions)

    def forget(self, event, partitions):
        for part in partitions:
            self.positions.pop(part.partition, None)
        program.write({"event": event, "partitions": [part.partition for part in partitions]})

    def commit(self):
        if not self.positions:
            return
        topic = self.options["topic"]
        offsets = [TopicPartition(topic, *position) for position in self.positions.items()]
        try:
            self.consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exception:
            program.write({"event": "commitFailed", "error": exception.args[0].code()})
            return
        program.write({"event": "committed", "offsets": self.positions})

    def run(self):
        self.consumer.subscribe(
            [self.options["topic"]],
            on_assign=self.assigned,
            on_revoke=self.revoked,
            on_lost=self.lost,
        )
        ended = program.end_of_input()
        handled = 0
        while not ended.is_set():
            message = self.consumer.poll(0.1)
            if message is None:
                continue
            if message.error():
                # Kafka's clients go on after these; they are told so that a test sees them.
                program.write({"event": "error", "error": message.error().code()})
                continue
            program.write(
                {
                    "event": "record",
                    "partition": message.partition(),
                    "offset": message.offset(),
                    "value": program.encode(message.value()),
                }
            )
            time.sleep(self.options["handleMs"] / 1000)
            self.positions[message.partition()] = message.offset() + 1
            handled += 1
            if handled % self.options["commitEvery"] == 0:
                self.commit()
        self.consumer.close()
        program.write({"event": "left"})


class Admin:
    """Admin commands; what only a consumer can do goes through one."""

    def __init__(self, options):
        self.options = options
        self.client = AdminClient(connection(options))

    def create_topic(self, command):
        topic = NewTopic(
            command["name"],
            num_partitions=command["partitions"],
            replication_factor=1,
            config=command.get("configs", {}),
        )
        validate_only = command.get("validateOnly", False)
        self.client.create_topics([topic], validate_only=validate_only)[command["name"]].result()

    def describe_topic(self, command):
        names = TopicCollection([command["name"]])
        description = self.client.describe_topics(names)[command["name"]].result()
        return {"partitions": len(description.partitions)}

    def list_topics(self, _):
        return {"topics": sorted(self.client.list_topics(timeout=60).topics)}

    def create_partitions(self, command):
        asked = NewPartitions(command["name"], command["count"])
        self.client.create_partitions([asked])[command["name"]].result()

    def describe_configs(self, command):
        resource = ConfigResource(ResourceType.TOPIC, command["name"])
        configs = self.client.describe_configs([resource])[resource].result()
        return {"configs": {name: entry.value for name, entry in configs.items()}}

    def alter_configs(self, command):
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in command["set"].items()
        ] + [
            ConfigEntry(name, None, incremental_operation=AlterConfigOpType.DELETE)
            for name in command["remove"]
        ]
        resource = ConfigResource(
            ResourceType.TOPIC, command["name"], incremental_configs=entries
        )
        self.client.incremental_alter_configs([resource])[resource].result()

    def delete_records(self, command):
        part = TopicPartition(command["name"], command["partition"], command["offset"])
        (future,) = self.client.delete_records([part]).values()
        future.result()

    def list_offsets(self, command):
        at = command["at"]
        specs = {"earliest": OffsetSpec.earliest, "latest": OffsetSpec.latest}
        spec = specs[at]() if at in specs else OffsetSpec.for_timestamp(at)
        part = TopicPartition(command["name"], command["partition"])
        isolation = IsolationLevel.READ_UNCOMMITTED
        (future,) = self.client.list_offsets({part: spec}, isolation_level=isolation).values()
        return {"offset": future.result().offset}

    def list_groups(self, _):
        listed = self.client.list_consumer_groups().result()
        return {"groups": sorted(group.group_id for group in listed.valid)}

    def describe_group(self, command):
        group = command["group"]
        description = self.client.describe_consumer_groups([group])[group].result()
        return {"state": description.state.name, "members": len(description.members)}

    def committed_offsets(self, command):
        group = ConsumerGroupTopicPartitions(command["group"])
        (future,) = self.client.list_consumer_group_offsets([group]).values()
        return {
            "offsets": {
                f"{part.topic}:{part.partition}": part.offset
                for part in future.result().topic_partitions
            }
        }

    def commit_offsets(self, command):
        parts = [
            TopicPartition(command["name"], int(partition), offset)
            for partition, offset in command["offsets"].items()
        ]
        group = ConsumerGroupTopicPartitions(command["group"], parts)
        (future,) = self.client.alter_consumer_group_offsets([group]).values()
        for part in future.result().topic_partitions:
            if part.error:
                raise KafkaException(part.error)

    def delete_group(self, command):
        self.client.delete_consumer_groups([command["group"]])[command["group"]].result()

    def delete_topic(self, command):
        self.client.delete_topics([command["name"]])[command["name"]].result()

    def describe_cluster(self, _):
        description = self.client.describe_cluster().result()
        return {"clusterId": description.cluster_id, "brokers": len(description.nodes)}


def admin(options):
    client = Admin(options)

    def error_code(exception):
        if isinstance(exception, KafkaException):
            return exception.args[0].code()
        if isinstance(exception, KafkaError):
            return exception.code()
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
        },
        error_code,
    )


if __name__ == "__main__":
    program.run(
        {
            "produce": produce,
            "consume": consume,
            "group": lambda options: Member(options).run(),
            "admin": admin,
        }
    )
