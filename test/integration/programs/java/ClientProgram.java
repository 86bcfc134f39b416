import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Apache Kafka's own client as a program: see ../README.md. */
public final class ClientProgram {
	private static final ObjectMapper JSON = new ObjectMapper();
	private static final BufferedReader INPUT =
			new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

	private final JsonNode options;
	private final String topic;

	private ClientProgram(JsonNode options) {
		this.options = options;
		this.topic = options.path("topic").asText();
	}

	public static void main(String[] arguments) throws Exception {
		if (arguments[0].equals("classes")) {
			loadClasses();
			return;
		}
		ClientProgram program = new ClientProgram(JSON.readTree(arguments[1]));
		switch (arguments[0]) {
			case "produce" -> program.produce();
			case "consume" -> program.consume();
			case "group" -> program.group();
			case "admin" -> program.admin();
			default -> throw new IllegalArgumentException(arguments[0]);
		}
	}

	/** Loads what the clients need without a broker, for an archive of classes. */
	private static void loadClasses() throws Exception {
		ClientProgram program = new ClientProgram(JSON.readTree("{\"bootstrap\":\"127.0.0.1:9\"}"));
		program.producer("none").close(Duration.ZERO);
		program.consumer(program.connection()).close();
		Admin.create(program.connection()).close(Duration.ZERO);
	}

	private static JsonNode readLine() throws IOException {
		String line = INPUT.readLine();
		return line == null ? null : JSON.readTree(line);
	}

	/** Writes one line at once: whoever reads waits for it. */
	private static synchronized void write(JsonNode line) {
		System.out.println(line);
		System.out.flush();
	}

	private static ObjectNode event(String name) {
		return JSON.createObjectNode().put("event", name);
	}

	private static byte[] bytes(JsonNode node) throws IOException {
		return node.isNull() ? null : node.binaryValue();
	}

	private static int errorCode(Throwable thrown) {
		Throwable cause =
				thrown instanceof ExecutionException ? thrown.getCause() : thrown;
		Errors error = Errors.forException(cause);
		if (error == Errors.UNKNOWN_SERVER_ERROR) throw new IllegalStateException(cause);
		return error.code();
	}

	private Map<String, Object> connection() {
		Map<String, Object> settings = new HashMap<>();
		settings.put("bootstrap.servers", options.get("bootstrap").asText());
		return settings;
	}

	private KafkaProducer<byte[], byte[]> producer(String codec) {
		Map<String, Object> settings = connection();
		settings.put("compression.type", codec);
		settings.put("linger.ms", 20);
		settings.put("enable.idempotence", options.path("idempotent").asBoolean(false));
		return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
	}

	private void produce() throws Exception {
		Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
		List<Future<RecordMetadata>> sent = new ArrayList<>();
		for (JsonNode line = readLine(); line != null; line = readLine()) {
			int partition = line.get("partition").asInt();
			JsonNode timestamp = line.get("timestamp");
			ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
					topic,
					partition < 0 ? null : partition,
					timestamp.isNull() ? null : timestamp.asLong(),
					bytes(line.get("key")),
					bytes(line.get("value")));
			for (JsonNode header : line.get("headers")) {
				record.headers().add(header.get(0).asText(), bytes(header.get(1)));
			}
			sent.add(producers.computeIfAbsent(line.get("codec").asText(), this::producer).send(record));
		}
		producers.values().forEach(KafkaProducer::flush);
		for (Future<RecordMetadata> future : sent) {
			ObjectNode ack = JSON.createObjectNode();
			try {
				ack.put("partition", future.get().partition()).put("offset", future.get().offset());
			} catch (ExecutionException exception) {
				ack.put("error", errorCode(exception));
			}
			write(ack);
		}
		producers.values().forEach(KafkaProducer::close);
	}

	private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> settings) {
		settings.put("enable.auto.commit", false);
		return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
	}

	private void seek(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> parts) {
		JsonNode start = options.get("start");
		if (start.isTextual()) {
			consumer.seekToBeginning(parts);
		} else if (start.has("offset")) {
			parts.forEach(part -> consumer.seek(part, start.get("offset").asLong()));
		} else {
			Map<TopicPartition, Long> asked = new HashMap<>();
			parts.forEach(part -> asked.put(part, start.get("timestamp").asLong()));
			consumer.offsetsForTimes(asked).forEach((part, found) -> {
				if (found == null) consumer.seekToEnd(List.of(part));
				else consumer.seek(part, found.offset());
			});
		}
	}

	private void consume() {
		try (KafkaConsumer<byte[], byte[]> consumer = consumer(connection())) {
			List<TopicPartition> parts = new ArrayList<>();
			options.get("partitions").forEach(
					number -> parts.add(new TopicPartition(topic, number.asInt())));
			consumer.assign(parts);
			seek(consumer, parts);
			long deadline = System.currentTimeMillis() + options.get("timeoutMs").asLong();
			int count = 0;
			while (count < options.get("count").asInt() && System.currentTimeMillis() < deadline) {
				for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
					write(consumed(record));
					count++;
				}
			}
		}
	}

	private static ObjectNode consumed(ConsumerRecord<byte[], byte[]> record) {
		ObjectNode line = JSON.createObjectNode()
				.put("partition", record.partition())
				.put("offset", record.offset())
				.put("timestamp", record.timestamp())
				.put("timestampType", record.timestampType().id)
				.put("key", record.key())
				.put("value", record.value());
		ArrayNode headers = line.putArray("headers");
		for (Header header : record.headers()) {
			headers.addArray().add(header.key()).add(header.value());
		}
		return line;
	}

	private Map<String, Object> groupSettings() {
		Map<String, Object> settings = connection();
		settings.put("group.id", options.get("group").asText());
		settings.put("auto.offset.reset", "earliest");
		settings.put("max.poll.records", options.get("commitEvery").asInt());
		if (options.path("instance").isTextual()) {
			settings.put("group.instance.id", options.get("instance").asText());
		}
		String protocol = options.get("protocol").asText();
		if (protocol.equals("consumer")) {
			settings.put("group.protocol", "consumer");
			return settings;
		}
		boolean cooperative = protocol.equals("cooperative");
		settings.put("partition.assignment.strategy",
				(cooperative ? CooperativeStickyAssignor.class : RangeAssignor.class).getName());
		settings.put("session.timeout.ms", options.get("sessionTimeoutMs").asInt());
		settings.put("heartbeat.interval.ms", options.get("heartbeatMs").asInt());
		return settings;
	}

	/** Tells what a member gets and gives up, and commits before it gives up. */
	private final class Listener implements ConsumerRebalanceListener {
		private final KafkaConsumer<byte[], byte[]> consumer;
		private final Map<TopicPartition, OffsetAndMetadata> positions;

		private Listener(
				KafkaConsumer<byte[], byte[]> consumer,
				Map<TopicPartition, OffsetAndMetadata> positions) {
			this.consumer = consumer;
			this.positions = positions;
		}

		private void tell(String name, Collection<TopicPartition> parts) {
			ObjectNode line = event(name);
			ArrayNode partitions = line.putArray("partitions");
			parts.forEach(part -> partitions.add(part.partition()));
			write(line);
		}

		@Override
		public void onPartitionsAssigned(Collection<TopicPartition> parts) {
			tell("assigned", parts);
		}

		@Override
		public void onPartitionsRevoked(Collection<TopicPartition> parts) {
			commit(consumer, positions);
			parts.forEach(positions::remove);
			tell("revoked", parts);
		}

		@Override
		public void onPartitionsLost(Collection<TopicPartition> parts) {
			parts.forEach(positions::remove);
			tell("lost", parts);
		}
	}

	private static void commit(
			KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, OffsetAndMetadata> positions) {
		if (positions.isEmpty()) return;
		try {
			consumer.commitSync(positions);
		} catch (KafkaException exception) {
			write(event("commitFailed").put("error", errorCode(exception)));
			return;
		}
		ObjectNode line = event("committed");
		ObjectNode offsets = line.putObject("offsets");
		positions.forEach(
				(part, position) -> offsets.put(String.valueOf(part.partition()), position.offset()));
		write(line);
	}

	private void group() throws Exception {
		Map<TopicPartition, OffsetAndMetadata> positions = new LinkedHashMap<>();
		Thread input = new Thread(() -> {
			try {
				while (INPUT.read() >= 0) continue;
			} catch (IOException exception) {
				throw new IllegalStateException(exception);
			}
		});
		input.setDaemon(true);
		input.start();
		try (KafkaConsumer<byte[], byte[]> consumer = consumer(groupSettings())) {
			consumer.subscribe(List.of(topic), new Listener(consumer, positions));
			int handled = 0;
			while (input.isAlive()) {
				for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
					write(event("record")
							.put("partition", record.partition())
							.put("offset", record.offset())
							.put("value", record.value()));
					Thread.sleep(options.get("handleMs").asLong());
					positions.put(
							new TopicPartition(topic, record.partition()),
							new OffsetAndMetadata(record.offset() + 1));
					if (++handled % options.get("commitEvery").asInt() == 0) commit(consumer, positions);
				}
			}
		}
		write(event("left"));
	}

	private void admin() throws Exception {
		try (Admin client = Admin.create(connection())) {
			for (JsonNode command = readLine(); command != null; command = readLine()) {
				ObjectNode answer = JSON.createObjectNode().put("error", 0);
				try {
					answer(client, command, answer);
				} catch (ExecutionException exception) {
					answer = JSON.createObjectNode().put("error", errorCode(exception));
				}
				write(answer);
			}
		}
	}

	private static void answer(Admin client, JsonNode command, ObjectNode answer) throws Exception {
		String name = command.path("name").asText();
		String group = command.path("group").asText();
		switch (command.get("do").asText()) {
			case "createTopic" -> createTopic(client, command);
			case "describeTopic" -> answer.put("partitions", client
					.describeTopics(List.of(name)).allTopicNames().get().get(name).partitions().size());
			case "listTopics" -> putAll(answer, "topics", client.listTopics().names().get());
			case "createPartitions" -> client.createPartitions(Map.of(
					name, NewPartitions.increaseTo(command.get("count").asInt()))).all().get();
			case "describeConfigs" -> {
				ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, name);
				ObjectNode configs = answer.putObject("configs");
				client.describeConfigs(List.of(resource)).all().get().get(resource).entries()
						.forEach(entry -> configs.put(entry.name(), entry.value()));
			}
			case "alterConfigs" -> alterConfigs(client, command);
			case "deleteRecords" -> client.deleteRecords(Map.of(
					part(command), RecordsToDelete.beforeOffset(command.get("offset").asLong())))
					.all().get();
			case "listOffsets" -> answer.put("offset", client
					.listOffsets(Map.of(part(command), spec(command.get("at"))))
					.partitionResult(part(command)).get().offset());
			case "listGroups" -> putAll(answer, "groups",
					client.listGroups().all().get().stream().map(GroupListing::groupId).toList());
			case "describeGroup" -> {
				var description = client.describeConsumerGroups(List.of(group)).all().get().get(group);
				answer.put("state", description.groupState().toString().toUpperCase(Locale.ROOT));
				answer.put("members", description.members().size());
			}
			case "committedOffsets" -> {
				ObjectNode offsets = answer.putObject("offsets");
				client.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().forEach(
						(part, position) -> offsets.put(
								part.topic() + ":" + part.partition(), position.offset()));
			}
			case "commitOffsets" -> commitOffsets(client, command);
			case "deleteGroup" -> client.deleteConsumerGroups(List.of(group)).all().get();
			case "deleteTopic" -> client.deleteTopics(List.of(name)).all().get();
			case "describeCluster" -> answer
					.put("clusterId", client.describeCluster().clusterId().get())
					.put("brokers", client.describeCluster().nodes().get().size());
			case "describeLogDirs" -> describeLogDirs(client, name, answer);
			default -> answer.put("unsupported", true);
		}
	}

	private static void putAll(ObjectNode answer, String field, Collection<String> names) {
		ArrayNode array = answer.putArray(field);
		new TreeSet<>(names).forEach(array::add);
	}

	private static TopicPartition part(JsonNode command) {
		return new TopicPartition(command.get("name").asText(), command.get("partition").asInt());
	}

	private static OffsetSpec spec(JsonNode at) {
		if (at.isNumber()) return OffsetSpec.forTimestamp(at.asLong());
		return at.asText().equals("earliest") ? OffsetSpec.earliest() : OffsetSpec.latest();
	}

	private static void createTopic(Admin client, JsonNode command) throws Exception {
		Map<String, String> configs = new HashMap<>();
		command.path("configs").properties().forEach(
				entry -> configs.put(entry.getKey(), entry.getValue().asText()));
		NewTopic created = new NewTopic(
				command.get("name").asText(), command.get("partitions").asInt(), (short) 1);
		CreateTopicsOptions settings =
				new CreateTopicsOptions().validateOnly(command.path("validateOnly").asBoolean(false));
		client.createTopics(List.of(created.configs(configs)), settings).all().get();
	}

	private static void alterConfigs(Admin client, JsonNode command) throws Exception {
		List<AlterConfigOp> changes = new ArrayList<>();
		command.get("set").properties().forEach(entry -> changes.add(new AlterConfigOp(
				new ConfigEntry(entry.getKey(), entry.getValue().asText()), AlterConfigOp.OpType.SET)));
		command.get("remove").forEach(name -> changes.add(new AlterConfigOp(
				new ConfigEntry(name.asText(), null), AlterConfigOp.OpType.DELETE)));
		ConfigResource resource =
				new ConfigResource(ConfigResource.Type.TOPIC, command.get("name").asText());
		client.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
	}

	private static void commitOffsets(Admin client, JsonNode command) throws Exception {
		Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
		command.get("offsets").properties().forEach(entry -> offsets.put(
				new TopicPartition(
						command.get("name").asText(), Integer.parseInt(entry.getKey())),
				new OffsetAndMetadata(entry.getValue().asLong())));
		client.alterConsumerGroupOffsets(command.get("group").asText(), offsets).all().get();
	}

	private static void describeLogDirs(Admin client, String name, ObjectNode answer)
			throws Exception {
		int broker = client.describeCluster().nodes().get().iterator().next().id();
		TreeSet<String> topics = new TreeSet<>();
		client.describeLogDirs(List.of(broker)).allDescriptions().get().get(broker).values()
				.forEach(dir -> dir.replicaInfos().keySet().forEach(part -> topics.add(part.topic())));
		topics.retainAll(List.of(name));
		putAll(answer, "topics", topics);
	}
}
