// A load over the Kafka protocol with librdkafka, the same for every broker that speaks it:
//
//     kafka-load produce BROKER TOPIC VALUES RECORD_BYTES WARM_UP_S SECONDS RECORDS_MAX [NAME=VALUE...]
//     kafka-load consume BROKER TOPIC RECORD_BYTES RECORDS WARM_UP_S SECONDS [NAME=VALUE...]
//     kafka-load read BROKER TOPIC
//
// `produce` sends the values in the file VALUES, RECORD_BYTES each, over and over to partition 0 of
// TOPIC, and ends when all are acknowledged; `consume` reads the RECORDS that are there over and
// over; both then read the topic once. NAME=VALUE is configuration of librdkafka. Written to stdout,
// one JSON object a line: {"event":"begin"} and {"event":"end",...} around the timed part, and
// {"event":"read",...} with the number of records and the SHA-256 of their offsets and values.
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
	// Records between two looks at the clock and at acks.
	BURST_RECORDS = 256,
	CONSUMED_RECORDS_MAX = 10000,
	WAIT_MS = 5,
	// Without an answer for so long, something is wrong.
	STALL_MS_MAX = 60000,
	OFFSET_BYTES = 8,
};

static uint64_t failed_records = 0;

static void fail(const char *format, ...) {
	va_list arguments;
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static double seconds_now(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_seconds_used(void) {
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

// ---- What is said ----------------------------------------------------------------------------

struct timed_part {
	double seconds_before;
	double cpu_seconds_before;
};

static struct timed_part begin_timed_part(void) {
	printf("{\"event\":\"begin\"}\n");
	fflush(stdout);
	return (struct timed_part){seconds_now(), cpu_seconds_used()};
}

// `stored`: how many the topic holds.
static void end_timed_part(struct timed_part part, uint64_t records, uint64_t stored) {
	double seconds = seconds_now() - part.seconds_before;
	double cpu_seconds = cpu_seconds_used() - part.cpu_seconds_before;
	printf("{\"event\":\"end\",\"records\":%" PRIu64 ",\"stored\":%" PRIu64
		   ",\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n",
		   records, stored, seconds, cpu_seconds);
	fflush(stdout);
}

// ---- Clients ---------------------------------------------------------------------------------

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
	char error[512];
	if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK) {
		fail("%s", error);
	}
}

static void set_all(rd_kafka_conf_t *conf, int count, char **pairs) {
	for (int index = 0; index < count; index += 1) {
		char *value = strchr(pairs[index], '=');
		if (value == NULL) fail("%s is not NAME=VALUE", pairs[index]);
		*value = '\0';
		set(conf, pairs[index], value + 1);
		*value = '=';
	}
}

static rd_kafka_t *new_client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
	char error[512];
	rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof(error));
	if (client == NULL) fail("%s", error);
	return client;
}

// ---- Producing -------------------------------------------------------------------------------

struct producer {
	rd_kafka_t *client;
	rd_kafka_topic_t *topic;
	char *values;
	size_t values_count;
	size_t record_bytes;
	uint64_t records;
};

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
	(void)client;
	(void)opaque;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) failed_records += 1;
}

static void load_values(struct producer *producer, const char *path) {
	FILE *file = fopen(path, "rb");
	if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail("%s cannot be read", path);
	size_t bytes = (size_t)ftell(file);
	rewind(file);
	producer->values_count = producer->record_bytes == 0 ? 0 : bytes / producer->record_bytes;
	if (producer->values_count == 0) fail("%s has no value of that size", path);
	producer->values = malloc(bytes);
	if (producer->values == NULL || fread(producer->values, 1, bytes, file) != bytes) {
		fail("%s cannot be read", path);
	}
	fclose(file);
}

static void send_next(struct producer *producer) {
	char *value =
		producer->values + (producer->records % producer->values_count) * producer->record_bytes;
	while (rd_kafka_produce(producer->topic, 0, RD_KAFKA_MSG_F_COPY, value, producer->record_bytes,
							NULL, 0, NULL) != 0) {
		rd_kafka_resp_err_t error = rd_kafka_last_error();
		if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail("produce: %s", rd_kafka_err2str(error));
		rd_kafka_poll(producer->client, WAIT_MS);
	}
	producer->records += 1;
}

// For so long, or until `records_max` were sent in all runs; returns when all are acknowledged.
static void produce_for(struct producer *producer, double seconds, uint64_t records_max) {
	double end = seconds_now() + seconds;
	while (producer->records < records_max && seconds_now() < end) {
		for (int left = BURST_RECORDS; left > 0 && producer->records < records_max; left -= 1) {
			send_next(producer);
		}
		rd_kafka_poll(producer->client, 0);
	}
	rd_kafka_resp_err_t error = rd_kafka_flush(producer->client, STALL_MS_MAX);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR) fail("flush: %s", rd_kafka_err2str(error));
	if (failed_records > 0) fail("%" PRIu64 " records were refused", failed_records);
}

// ---- Consuming -------------------------------------------------------------------------------

struct consumer {
	rd_kafka_t *client;
	rd_kafka_queue_t *queue;
	const char *topic;
};

static struct consumer new_consumer(const char *broker, const char *topic, int count, char **pairs) {
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	set(conf, "bootstrap.servers", broker);
	set(conf, "group.id", "kafka-load");
	set(conf, "enable.auto.commit", "false");
	set(conf, "enable.partition.eof", "true");
	// Only a fetch at the end of the log waits so long: one that finds records is answered at once.
	set(conf, "fetch.wait.max.ms", "5");
	// A fuller queue would make it pause for half a second before the next fetch.
	set(conf, "queued.min.messages", "10000000");
	set(conf, "queued.max.messages.kbytes", "1048576");
	set_all(conf, count, pairs);
	rd_kafka_t *client = new_client(RD_KAFKA_CONSUMER, conf);
	rd_kafka_poll_set_consumer(client);
	return (struct consumer){client, rd_kafka_queue_get_consumer(client), topic};
}

static void close_consumer(struct consumer consumer) {
	rd_kafka_queue_destroy(consumer.queue);
	rd_kafka_consumer_close(consumer.client);
	rd_kafka_destroy(consumer.client);
}

struct sums {
	uint64_t records;
	uint64_t offsets;
	uint64_t bytes;
};

static void hash_record(EVP_MD_CTX *hash, const rd_kafka_message_t *message) {
	// As the harness hashes: the offset as a double, the most significant byte first.
	double offset = (double)message->offset;
	uint64_t bits;
	memcpy(&bits, &offset, sizeof(bits));
	unsigned char bytes[OFFSET_BYTES];
	for (int index = 0; index < OFFSET_BYTES; index += 1) {
		bytes[index] = (unsigned char)(bits >> (8 * (OFFSET_BYTES - 1 - index)));
	}
	EVP_DigestUpdate(hash, bytes, OFFSET_BYTES);
	EVP_DigestUpdate(hash, message->payload, message->len);
}

// Whether the end of the partition was reached; `hash` may be null.
static int take_message(rd_kafka_message_t *message, struct sums *sums, EVP_MD_CTX *hash) {
	int is_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
	if (!is_end && message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		fail("consume: %s", rd_kafka_message_errstr(message));
	}
	if (!is_end) {
		sums->records += 1;
		sums->offsets += (uint64_t)message->offset;
		sums->bytes += message->len;
		if (hash != NULL) hash_record(hash, message);
	}
	rd_kafka_message_destroy(message);
	return is_end;
}

// Reads the partition once, from its beginning to its end.
static struct sums read_once(struct consumer consumer, EVP_MD_CTX *hash) {
	static rd_kafka_message_t *messages[CONSUMED_RECORDS_MAX];
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, consumer.topic, 0)->offset = 0;
	rd_kafka_resp_err_t error = rd_kafka_assign(consumer.client, list);
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR) fail("assign: %s", rd_kafka_err2str(error));
	rd_kafka_topic_partition_list_destroy(list);

	struct sums sums = {0, 0, 0};
	int is_end = 0;
	double stalled = seconds_now() + STALL_MS_MAX / 1e3;
	while (!is_end) {
		ssize_t count =
			rd_kafka_consume_batch_queue(consumer.queue, WAIT_MS, messages, CONSUMED_RECORDS_MAX);
		if (count < 0) fail("consume: %s", rd_kafka_err2str(rd_kafka_last_error()));
		if (count > 0) stalled = seconds_now() + STALL_MS_MAX / 1e3;
		if (seconds_now() > stalled) fail("no record came for %d ms", STALL_MS_MAX);
		for (ssize_t index = 0; index < count; index += 1) {
			is_end |= take_message(messages[index], &sums, hash);
		}
	}
	return sums;
}

static void read_and_hash(struct consumer consumer) {
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
	struct sums sums = read_once(consumer, hash);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int digest_bytes = 0;
	EVP_DigestFinal_ex(hash, digest, &digest_bytes);
	EVP_MD_CTX_free(hash);
	printf("{\"event\":\"read\",\"records\":%" PRIu64 ",\"sha256\":\"", sums.records);
	for (unsigned int index = 0; index < digest_bytes; index += 1) printf("%02x", digest[index]);
	printf("\"}\n");
	fflush(stdout);
}

// ---- Commands --------------------------------------------------------------------------------

static void run_produce(const char *broker, const char *topic, int count, char **arguments) {
	if (count < 5) fail("produce needs VALUES RECORD_BYTES WARM_UP_S SECONDS RECORDS_MAX");
	struct producer producer = {.record_bytes = strtoull(arguments[1], NULL, 10)};
	double warm_up_seconds = strtod(arguments[2], NULL);
	double seconds = strtod(arguments[3], NULL);
	uint64_t records_max = strtoull(arguments[4], NULL, 10);
	load_values(&producer, arguments[0]);

	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	set(conf, "bootstrap.servers", broker);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	set_all(conf, count - 5, arguments + 5);
	producer.client = new_client(RD_KAFKA_PRODUCER, conf);
	producer.topic = rd_kafka_topic_new(producer.client, topic, NULL);
	if (producer.topic == NULL) fail("topic: %s", rd_kafka_err2str(rd_kafka_last_error()));

	produce_for(&producer, warm_up_seconds, records_max / 4);
	uint64_t warmed_up = producer.records;
	struct timed_part part = begin_timed_part();
	produce_for(&producer, seconds, records_max);
	end_timed_part(part, producer.records - warmed_up, producer.records);
	rd_kafka_topic_destroy(producer.topic);
	rd_kafka_destroy(producer.client);
	free(producer.values);

	struct consumer consumer = new_consumer(broker, topic, 0, NULL);
	read_and_hash(consumer);
	close_consumer(consumer);
}

// What a topic is to have.
struct stored {
	uint64_t records;
	uint64_t record_bytes;
};

// For so long, but at least once; returns how many records were read.
static uint64_t read_for(struct consumer consumer, double seconds, struct stored stored) {
	uint64_t records = stored.records;
	uint64_t total = 0;
	double end = seconds_now() + seconds;
	do {
		struct sums sums = read_once(consumer, NULL);
		if (sums.records != records || sums.offsets != records * (records - 1) / 2 ||
			sums.bytes != records * stored.record_bytes) {
			fail("%" PRIu64 " records are stored and %" PRIu64 " were read, or others", records,
				 sums.records);
		}
		total += records;
	} while (seconds_now() < end);
	return total;
}

static void run_consume(const char *broker, const char *topic, int count, char **arguments) {
	if (count < 4) fail("consume needs RECORD_BYTES RECORDS WARM_UP_S SECONDS");
	struct stored stored = {.record_bytes = strtoull(arguments[0], NULL, 10),
							.records = strtoull(arguments[1], NULL, 10)};
	double warm_up_seconds = strtod(arguments[2], NULL);
	double seconds = strtod(arguments[3], NULL);
	struct consumer consumer = new_consumer(broker, topic, count - 4, arguments + 4);
	read_and_hash(consumer);

	read_for(consumer, warm_up_seconds, stored);
	struct timed_part part = begin_timed_part();
	uint64_t total = read_for(consumer, seconds, stored);
	end_timed_part(part, total, stored.records);
	close_consumer(consumer);
}

int main(int count, char **arguments) {
	if (count == 2 && strcmp(arguments[1], "version") == 0) {
		printf("%s\n", rd_kafka_version_str());
		return 0;
	}
	if (count < 4) fail("usage: kafka-load produce|consume|read BROKER TOPIC ...");
	const char *command = arguments[1];
	const char *broker = arguments[2];
	const char *topic = arguments[3];
	if (strcmp(command, "produce") == 0) {
		run_produce(broker, topic, count - 4, arguments + 4);
	} else if (strcmp(command, "consume") == 0) {
		run_consume(broker, topic, count - 4, arguments + 4);
	} else if (strcmp(command, "read") == 0) {
		struct consumer consumer = new_consumer(broker, topic, count - 4, arguments + 4);
		read_and_hash(consumer);
		close_consumer(consumer);
	} else {
		fail("there is no command %s", command);
	}
	return 0;
}
