/**
 * Every metric of the broker, once. Names follow Prometheus: base units, `_total` for what only
 * grows while the broker runs. Labels are bounded: topics and groups by `LIMITS`, everything else
 * by tables of this program; never what clients make up.
 */
export interface Metric {
	readonly type: "counter" | "gauge" | "histogram";
	/** What is counted, as in the name; "": it is said by the name, or has none. */
	readonly unit: "" | "bytes" | "records" | "seconds";
	readonly labels: readonly string[];
	readonly help: string;
}

const make =
	(type: Metric["type"]) =>
	(unit: Metric["unit"], labels: readonly string[], help: string): Metric => ({
		type,
		unit,
		labels,
		help,
	});
const counter = make("counter");
const gauge = make("gauge");
const histogram = make("histogram");

const BY_TOPIC = ["protocol", "topic"];
const BY_OPERATION = ["protocol", "operation"];
const BY_ROUTE = ["route", "method"];

// biome-ignore format: a table, one row a metric
export const METRICS = {
	millrace_build_info: gauge("", ["version"], "The version that runs; always 1."),
	millrace_collect_seconds: gauge("seconds", [], "How long the figures of this answer took to gather, with the turns of others in between."),

	millrace_received_bytes_total: counter("bytes", BY_TOPIC, "Bytes of records that clients sent, as they came: compressed where clients compress."),
	millrace_received_records_total: counter("records", BY_TOPIC, "Records that clients sent."),
	millrace_sent_bytes_total: counter("bytes", BY_TOPIC, "Bytes of records that clients were sent."),
	millrace_sent_records_total: counter("records", BY_TOPIC, "Records that clients were sent."),

	millrace_request_duration_seconds: histogram("seconds", BY_OPERATION, "Time from a request to its answer; to the socket over Kafka. Fetch waits for records, up to what clients ask for."),
	millrace_request_errors_total: counter("", [...BY_OPERATION, "code"], "Error codes in answers: of whole requests, and of the topics, partitions and groups that they name."),

	millrace_http_requests_total: counter("", [...BY_ROUTE, "status"], "Requests over HTTP that were answered, by route, which is a path with its parameters in braces, and by class of status, such as `2xx`."),
	millrace_http_request_duration_seconds: histogram("seconds", BY_ROUTE, "Time from the head of a request over HTTP to its answer. Reads wait for records, up to what clients ask for."),
	millrace_http_received_bytes_total: counter("bytes", BY_ROUTE, "Bytes of the bodies of requests over HTTP."),
	millrace_http_sent_bytes_total: counter("bytes", BY_ROUTE, "Bytes of the bodies of answers over HTTP."),

	millrace_connections: gauge("", ["protocol"], "Open connections: `http` are those that are no WebSockets."),
	millrace_connections_max: gauge("", [], "Connections of all protocols that may be open (max.connections)."),
	millrace_connections_refused_total: counter("", [], "Connections that were refused because so many were open."),
	millrace_certificate_reload_failures_total: counter("", [], "Changed certificates that could not be used: those before them still are."),
	millrace_login_failures_total: counter("", ["mechanism", "reason"], "Logins that were refused, by SASL mechanism or scheme, and why."),
	millrace_audit_dropped_total: counter("", [], "Events that the audit log could not keep: too many kinds of refusals at a time, or a disk that does not take them."),
	millrace_config_reload_failures_total: counter("", [], "Configurations that were read again and could not be used: nothing has changed."),
	millrace_buffered_bytes: gauge("bytes", ["protocol"], "Bytes that clients were sent and have not taken yet."),
	millrace_backed_up_connections: gauge("", [], "WebSocket connections that do not take what they are sent: slow consumers."),
	millrace_slow_clients: gauge("", ["protocol", "reason"], "Clients that are slow: `not_reading` what they were sent, `not_asking` for records that wait, `falling_behind` although they read."),
	millrace_subscriptions: gauge("", [], "Subscriptions of WebSocket connections."),
	millrace_held_request_bytes: gauge("bytes", [], "Bytes of Kafka requests that have not come whole, wait, or are at work."),

	millrace_throttled_seconds_total: counter("seconds", ["protocol", "quota"], "Time that clients were told to wait because of a quota, all together."),
	millrace_throttled_clients: gauge("", ["protocol", "quota"], "Connections, and users over HTTP, that wait now because of a quota."),

	millrace_groups: gauge("", ["type", "state"], "Consumer groups."),
	millrace_group_members: gauge("", ["group"], "Members of a group that has any."),
	millrace_group_lag_records: gauge("records", ["group", "topic"], "Records behind the committed offsets of a group, members or not, in all partitions."),
	millrace_group_lag_seconds: gauge("seconds", ["group", "topic"], "Age of the oldest record that a group has not committed; 0: there is none."),
	millrace_group_topics_left_out: gauge("", [], "Pairs of group and topic beyond those whose lag is told."),

	millrace_topics: gauge("", [], "Topics, those of the broker itself included."),
	millrace_topic_partitions: gauge("", ["topic"], "Partitions of the topic."),
	millrace_log_bytes: gauge("bytes", ["topic"], "Size of the logs."),
	millrace_log_segments: gauge("", ["topic"], "Segments of the logs."),
	millrace_log_damaged_ranges: gauge("", ["topic"], "Ranges of damaged records in quarantine: readers are led past them."),
	millrace_log_failed_partitions: gauge("", ["topic"], "Partitions that take no records until the broker starts again, after an error of the disk."),
	millrace_recovery_findings: gauge("", [], "What the start of the broker found in the logs and had to mend."),

	millrace_sync_duration_seconds: histogram("seconds", [], "Syncs that producers or the flush interval wait for: fdatasync of a segment, or a group of the flush journal."),
	millrace_unsynced_bytes: gauge("bytes", [], "Bytes written and not synced yet."),
	millrace_checkpoint_failures_total: counter("", [], "Checkpoints that could not be written: a start after a crash reads more."),
	millrace_hint_failures_total: counter("", [], "Indexes and snapshots that could not be stored: a start rebuilds them."),
	millrace_damage_failures_total: counter("", [], "Damage that could not be noted: the next start has to find it again."),
	millrace_journal_groups_total: counter("", [], "Batches of logs that the flush journal has synced."),
	millrace_journal_log_flushes_total: counter("", [], "Flushes of single logs that the flush journal has replaced."),
	millrace_journal_bytes_total: counter("bytes", [], "Bytes written to the flush journal."),
	millrace_journal_failures_total: counter("", [], "Files of the flush journal that could not be made, written or synced."),

	millrace_disk_size_bytes: gauge("bytes", [], "Size of the file system that holds the data."),
	millrace_disk_available_bytes: gauge("bytes", [], "Bytes that may still be written to the file system of the data."),
	millrace_disk_warn_below_bytes: gauge("bytes", [], "Available bytes below which the broker warns."),
	millrace_disk_refuse_below_bytes: gauge("bytes", [], "Available bytes below which records are refused."),
	millrace_disk_resume_from_bytes: gauge("bytes", [], "Available bytes from which refused records are accepted again."),
	millrace_disk_reserve_bytes: gauge("bytes", [], "Blocks that are kept for what makes room."),
	millrace_disk_level: gauge("", [], "How short of space the disk is: 0 not, 1 warning, 2 records are refused, 3 every append is."),
	millrace_disk_refusals_total: counter("", [], "Appends that were refused for want of space."),

	millrace_cold_reads_total: counter("", [], "Reads that had to wait for the disk: their records were not in memory."),
	millrace_open_segment_files: gauge("", [], "Open files of segments."),
	millrace_read_windows: gauge("", [], "Mapped windows that are read from."),
	millrace_read_window_bytes: gauge("bytes", [], "Address space of mapped read windows."),
	millrace_open_batches_bytes: gauge("bytes", [], "Memory of batches that readers have taken apart."),
	millrace_expansions_total: counter("", [], "Compressed batches that were expanded for readers."),
	millrace_offloaded_produce_requests: gauge("", [], "Produce requests handed to a worker thread and not finished."),
	millrace_offloaded_produce_bytes: gauge("bytes", [], "Bytes of produce requests handed to a worker thread and not finished."),
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof METRICS;
