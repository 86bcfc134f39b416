/**
 * Gathers the values of all metrics when somebody asks: what the core, the catalogue, the groups
 * and the listeners know anyway. Gives the loop its turns in between, however many topics and
 * groups there are.
 */
import type { AuditLog } from "../audit/audit-log.ts";
import type { LiveConfig } from "../config/live.ts";
import type { ConnectionLimit } from "../connection-limit.ts";
import type { GroupCoordinator } from "../groups/coordinator.ts";
import { API_NAMES } from "../kafka/generated/api-names.ts";
import type { KafkaServer } from "../kafka/server.ts";
import { LIMITS } from "../limits.ts";
import type { MetricName } from "../metrics.ts";
import { nextTurn } from "../next-turn.ts";
import { CODES } from "../protocol/codes.ts";
import { OPERATION } from "../protocol/operations.ts";
import type { ClientQuotas } from "../quotas/client-quotas.ts";
import type { Security } from "../security/security.ts";
import {
	SYNC_COUNTS,
	SYNC_NANOSECONDS,
	TOPIC_BYTES,
	TOPIC_DAMAGED_RANGES,
	TOPIC_FAILED_PARTITIONS,
	TOPIC_SEGMENTS,
} from "../storage/layout.ts";
import type { Storage, StoreStatistics, TopicHandle } from "../storage/storage.ts";
import type { Topic, TopicCatalogue } from "../topics/catalogue.ts";
import { VERSION } from "../version.ts";
import type { WebSocketServer } from "../websocket/server.ts";
import type { HttpFigures } from "./http-figures.ts";
import type { RequestFigures } from "./request-figures.ts";
import { Snapshot } from "./snapshot.ts";
import { Traffic } from "./topic-traffic.ts";

/** What there is to tell of. */
export interface MetricSources {
	readonly storage: Storage;
	readonly catalogue: TopicCatalogue;
	readonly groups: GroupCoordinator;
	readonly connections: ConnectionLimit;
	readonly quotas: ClientQuotas;
	readonly websocket: WebSocketServer;
	readonly kafka: KafkaServer;
	readonly security: Security;
	readonly audit: AuditLog | undefined;
	readonly live: LiveConfig;
}

/** Stands for all topics that are not told of by name; no topic can have this name. */
const OTHER_TOPICS = "(other)";

const PROTOCOLS = ["kafka", "websocket"] as const;

/** Partitions, or topics, that are looked at before the loop takes its next turn. */
const LOOKED_AT_A_TURN = 1_000;

const OPERATION_NAMES = new Map(Object.entries(OPERATION).map(([name, number]) => [number, name]));
const CODE_NAMES = new Map(Object.entries(CODES).map(([name, { code }]) => [code, name]));

/** Counters and gauges that are one number of the store. */
const OF_STORE = {
	millrace_unsynced_bytes: "dirtyBytes",
	millrace_checkpoint_failures_total: "checkpointFailures",
	millrace_hint_failures_total: "hintFailures",
	millrace_damage_failures_total: "damageFailures",
	millrace_journal_groups_total: "journalGroups",
	millrace_journal_log_flushes_total: "journalLogFlushes",
	millrace_journal_bytes_total: "journalBytes",
	millrace_journal_failures_total: "journalFailures",
	millrace_disk_size_bytes: "spaceTotalBytes",
	millrace_disk_available_bytes: "spaceAvailableBytes",
	millrace_disk_reserve_bytes: "reserveBytes",
	millrace_disk_level: "spaceLevel",
	millrace_disk_refusals_total: "spaceRefusals",
	millrace_open_segment_files: "openDescriptors",
	millrace_read_windows: "mappedWindows",
	millrace_read_window_bytes: "mappedBytes",
	millrace_open_batches_bytes: "openBatchesBytes",
	millrace_expansions_total: "expansions",
	millrace_offloaded_produce_requests: "elsewhereFrames",
	millrace_offloaded_produce_bytes: "elsewhereBytes",
} as const satisfies Partial<Record<MetricName, keyof StoreStatistics>>;

/** What is told of the logs of one topic, or of several together. */
interface LogSums {
	partitions: number;
	bytes: number;
	segments: number;
	damagedRanges: number;
	failedPartitions: number;
}

export class Collector {
	readonly #sources: MetricSources;
	/** Which topics are told of by name. A topic stays where it is: counters may not go back. */
	readonly #isNamed = new Map<TopicHandle, boolean>();
	#namedCount = 0;
	/** Traffic of topics that are deleted and were not told of by name, or by nobody ever. */
	readonly #gone = { kafka: new Traffic(), websocket: new Traffic() };

	constructor(sources: MetricSources) {
		this.#sources = sources;
		for (const protocol of PROTOCOLS) {
			sources[protocol].traffic.onForgotten = (handle, traffic) => {
				if (this.#isNamed.get(handle) !== true) addTraffic(this.#gone[protocol], traffic);
			};
		}
	}

	/** Resolves to the values of now. Each is read at its own moment. */
	async collect(): Promise<Snapshot> {
		const snapshot = new Snapshot();
		const startedMs = performance.now();
		snapshot.set("millrace_build_info", 1, VERSION);
		this.#store(snapshot);
		this.#listeners(snapshot);
		this.#upkeep(snapshot);
		await this.#topics(snapshot);
		await this.#groups(snapshot);
		snapshot.set("millrace_collect_seconds", (performance.now() - startedMs) / 1e3);
		return snapshot;
	}

	#store(snapshot: Snapshot): void {
		const { storage } = this.#sources;
		const statistics = storage.statistics();
		for (const [name, key] of Object.entries(OF_STORE)) {
			snapshot.set(name as MetricName, statistics[key]);
		}
		const { warnBelow, refuseBelow, resumeFrom } = storage.spaceWatermarks();
		snapshot.set("millrace_disk_warn_below_bytes", warnBelow);
		snapshot.set("millrace_disk_refuse_below_bytes", refuseBelow);
		snapshot.set("millrace_disk_resume_from_bytes", resumeFrom);
		snapshot.set("millrace_cold_reads_total", storage.coldReads);
		snapshot.set("millrace_recovery_findings", storage.recoveryReport.length);
		const syncs = storage.syncFigures();
		const seconds = (syncs[SYNC_NANOSECONDS] as number) / 1e9;
		const counts = syncs.subarray(SYNC_COUNTS);
		snapshot.setLatencies("millrace_sync_duration_seconds", counts, seconds);
	}

	#listeners(snapshot: Snapshot): void {
		const { connections, kafka, websocket, quotas } = this.#sources;
		const { bufferedBytes, subscriptions, backedUp } = websocket.figures;
		snapshot.set("millrace_connections", kafka.connectionCount, "kafka");
		snapshot.set("millrace_connections", websocket.connectionCount, "websocket");
		snapshot.set("millrace_connections", websocket.httpConnectionCount, "http");
		snapshot.set("millrace_connections_max", connections.max);
		snapshot.set("millrace_connections_refused_total", connections.refusedTotal);
		snapshot.set("millrace_buffered_bytes", kafka.bufferedBytes, "kafka");
		snapshot.set("millrace_buffered_bytes", bufferedBytes, "websocket");
		snapshot.set("millrace_backed_up_connections", backedUp);
		snapshot.set("millrace_subscriptions", subscriptions);
		snapshot.set("millrace_held_request_bytes", kafka.heldBytes);
		for (const [name, { totalMs, clients }] of quotas.figures()) {
			const labels = name.split(" ");
			snapshot.set("millrace_throttled_seconds_total", totalMs / 1e3, ...labels);
			snapshot.set("millrace_throttled_clients", clients, ...labels);
		}
		for (const [protocol, { slow }] of Object.entries({ kafka, websocket })) {
			for (const [reason, count] of Object.entries(slow)) {
				snapshot.set("millrace_slow_clients", count, protocol, reason);
			}
		}
		requests(snapshot, "kafka", kafka.requests, API_NAMES);
		requests(snapshot, "websocket", websocket.requests, OPERATION_NAMES);
		httpRequests(snapshot, websocket.httpRequests);
	}

	/** What is done to a broker while it runs, and who was not let in. */
	#upkeep(snapshot: Snapshot): void {
		const { live, security, audit } = this.#sources;
		snapshot.set("millrace_audit_dropped_total", audit?.droppedCount ?? 0);
		snapshot.set("millrace_config_reload_failures_total", live.failedReloadCount);
		const certificates = security.tls?.failedReloadCount ?? 0;
		snapshot.set("millrace_certificate_reload_failures_total", certificates);
		for (const [mechanism, reasons] of security.failures.counts) {
			for (const [reason, count] of reasons) {
				snapshot.set("millrace_login_failures_total", count, mechanism, reason);
			}
		}
	}

	async #topics(snapshot: Snapshot): Promise<void> {
		const topics = this.#sources.catalogue.list();
		this.#forgetDeleted(topics);
		const logs = new Map<string, LogSums>();
		let looked = 0;
		for (const topic of topics) {
			const name = this.#seriesOf(topic);
			const sums = entryOf(logs, name, noLogs);
			for (let from = 0; from < topic.partitions; from += LOOKED_AT_A_TURN) {
				if (from > 0) await nextTurn();
				this.#addLogs(sums, topic, from);
			}
			sums.partitions += topic.partitions;
			looked += Math.max(topic.partitions, 10);
			if (looked < LOOKED_AT_A_TURN) continue;
			looked = 0;
			await nextTurn();
		}
		snapshot.set("millrace_topics", topics.length);
		setLogs(snapshot, logs);
		for (const protocol of PROTOCOLS) {
			setTraffic(snapshot, protocol, this.#trafficOf(protocol, topics));
		}
	}

	/**
	 * By the series that it is told in. In one go: a topic that is deleted on a turn in between would
	 * count twice, as itself and as gone, or not at all, and the sum go back with the next scrape.
	 */
	#trafficOf(
		protocol: (typeof PROTOCOLS)[number],
		topics: readonly Topic[],
	): ReadonlyMap<string, Traffic> {
		const { traffic } = this.#sources[protocol];
		const sums = new Map<string, Traffic>();
		for (const topic of topics) {
			const known = traffic.get(topic.handle);
			if (known !== undefined) addTraffic(entryOf(sums, this.#seriesOf(topic), noTraffic), known);
		}
		addTraffic(entryOf(sums, OTHER_TOPICS, noTraffic), this.#gone[protocol]);
		return sums;
	}

	#addLogs(sums: LogSums, topic: Topic, from: number): void {
		const { catalogue, storage } = this.#sources;
		// It may have been deleted on a turn in between.
		if (catalogue.byId(topic.topicId) === undefined) return;
		const figures = storage.topicFigures(topic.handle, from, LOOKED_AT_A_TURN);
		sums.bytes += figures[TOPIC_BYTES] as number;
		sums.segments += figures[TOPIC_SEGMENTS] as number;
		sums.damagedRanges += figures[TOPIC_DAMAGED_RANGES] as number;
		sums.failedPartitions += figures[TOPIC_FAILED_PARTITIONS] as number;
	}

	#seriesOf({ handle, name }: Topic): string {
		let isNamed = this.#isNamed.get(handle);
		if (isNamed === undefined) {
			isNamed = this.#namedCount < LIMITS.metricTopicsMax;
			this.#isNamed.set(handle, isNamed);
			if (isNamed) this.#namedCount++;
		}
		return isNamed ? name : OTHER_TOPICS;
	}

	#forgetDeleted(topics: readonly Topic[]): void {
		const present = new Set(topics.map(({ handle }) => handle));
		for (const [handle, isNamed] of this.#isNamed) {
			if (present.has(handle)) continue;
			this.#isNamed.delete(handle);
			if (isNamed) this.#namedCount--;
		}
	}

	async #groups(snapshot: Snapshot): Promise<void> {
		const { byState, members, lags, leftOut } = await this.#sources.groups.figures();
		for (const [key, count] of byState) {
			const [type = "", state = ""] = key.split(" ");
			snapshot.set("millrace_groups", count, type, state);
		}
		for (const { group, count } of members) snapshot.set("millrace_group_members", count, group);
		for (const { group, topic, records, seconds } of lags) {
			snapshot.set("millrace_group_lag_records", records, group, topic);
			snapshot.set("millrace_group_lag_seconds", seconds, group, topic);
		}
		snapshot.set("millrace_group_topics_left_out", leftOut);
	}
}

function requests(
	snapshot: Snapshot,
	protocol: string,
	{ operations }: RequestFigures,
	names: ReadonlyMap<number, string>,
): void {
	for (const [operation, { latencies, errors }] of operations) {
		const name = names.get(operation) ?? `${operation}`;
		const { counts, seconds } = latencies;
		const labels = [protocol, name];
		snapshot.setLatencies("millrace_request_duration_seconds", counts, seconds, ...labels);
		for (const [code, count] of errors) {
			const codeName = CODE_NAMES.get(code) ?? `${code}`;
			snapshot.set("millrace_request_errors_total", count, ...labels, codeName);
		}
	}
}

function httpRequests(snapshot: Snapshot, { routes }: HttpFigures): void {
	for (const { route, method, latencies, statuses, receivedBytes, sentBytes } of routes) {
		const { counts, seconds } = latencies;
		const labels = [route, method];
		snapshot.setLatencies("millrace_http_request_duration_seconds", counts, seconds, ...labels);
		snapshot.set("millrace_http_received_bytes_total", receivedBytes, ...labels);
		snapshot.set("millrace_http_sent_bytes_total", sentBytes, ...labels);
		for (const [status, count] of statuses) {
			snapshot.set("millrace_http_requests_total", count, ...labels, status);
		}
	}
}

function setLogs(snapshot: Snapshot, logs: ReadonlyMap<string, LogSums>): void {
	for (const [topic, sums] of logs) {
		snapshot.set("millrace_topic_partitions", sums.partitions, topic);
		snapshot.set("millrace_log_bytes", sums.bytes, topic);
		snapshot.set("millrace_log_segments", sums.segments, topic);
		snapshot.set("millrace_log_damaged_ranges", sums.damagedRanges, topic);
		snapshot.set("millrace_log_failed_partitions", sums.failedPartitions, topic);
	}
}

function setTraffic(
	snapshot: Snapshot,
	protocol: string,
	byTopic: ReadonlyMap<string, Traffic>,
): void {
	for (const [topic, traffic] of byTopic) {
		const { receivedBytes, receivedRecords, sentBytes, sentRecords } = traffic;
		if (receivedRecords > 0) {
			snapshot.set("millrace_received_bytes_total", receivedBytes, protocol, topic);
			snapshot.set("millrace_received_records_total", receivedRecords, protocol, topic);
		}
		if (sentRecords > 0) {
			snapshot.set("millrace_sent_bytes_total", sentBytes, protocol, topic);
			snapshot.set("millrace_sent_records_total", sentRecords, protocol, topic);
		}
	}
}

function addTraffic(sum: Traffic, traffic: Traffic): void {
	sum.receivedBytes += traffic.receivedBytes;
	sum.receivedRecords += traffic.receivedRecords;
	sum.sentBytes += traffic.sentBytes;
	sum.sentRecords += traffic.sentRecords;
}

const noTraffic = () => new Traffic();
const noLogs = (): LogSums => ({
	partitions: 0,
	bytes: 0,
	segments: 0,
	damagedRanges: 0,
	failedPartitions: 0,
});

function entryOf<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
	let value = map.get(key);
	if (value === undefined) {
		value = make();
		map.set(key, value);
	}
	return value;
}
