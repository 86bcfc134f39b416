import { onTestFinished } from "vitest";
import { resolveConfig } from "../../src/config/load.ts";
import { GroupCoordinator, type GroupCoordinatorOptions } from "../../src/groups/coordinator.ts";
import type { GroupRecord } from "../../src/groups/group.ts";
import { GroupConfigs } from "../../src/groups/group-configs.ts";
import { offsetRecord } from "../../src/groups/log/group-records.ts";
import { OffsetsLog } from "../../src/groups/log/offsets-log.ts";
import type { GroupOptions } from "../../src/groups/options.ts";
import type { CommitRequest, JoinRequest, MemberProtocol } from "../../src/groups/requests.ts";
import { NIL_UUID } from "../../src/kafka/wire/uuid.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { FrameWriter } from "../../src/protocol/writer.ts";
import { PLAN_CODE, PLAN_TOPIC_HANDLE } from "../../src/storage/layout.ts";
import { Storage } from "../../src/storage/storage.ts";
import type { UpkeepOptions } from "../../src/storage/storage-types.ts";
import { TopicCatalogue } from "../../src/topics/catalogue.ts";
import { FakeClock } from "./fake-clock.ts";

export const OPTIONS: GroupOptions = {
	...resolveConfig({}).config,
	groupInitialRebalanceDelayMs: 0,
	offsetsTopicNumPartitions: 4,
};

/** A coordinator over real storage, with a clock of the test's. */
export interface Harness {
	readonly coordinator: GroupCoordinator;
	readonly catalogue: TopicCatalogue;
	readonly storage: Storage;
	readonly clock: FakeClock;
	/** What was logged as a warning or an error. */
	readonly complaints: { details: object; message: string }[];
	readonly dataDir: string;
	/**
	 * Appends records to the group's partition of the offsets topic, behind the coordinator's back.
	 */
	appendRecords(groupId: string, records: readonly GroupRecord[]): Promise<void>;
	/** Appends so many records to a partition. */
	produce(topic: string, partition: number, count: number): Promise<void>;
	stop(): Promise<void>;
}

/** What stops those that run, by their number. */
const running = new Map<number, () => Promise<void>>();
let startedCount = 0;

export interface HarnessOptions {
	readonly options?: Partial<GroupOptions>;
	/** Where to find what an earlier one left; absent: in memory. */
	readonly dataDir?: string;
	readonly clock?: FakeClock;
	/** Do not wait until everything is loaded. */
	readonly unloaded?: boolean;
	/** What stands between the coordinator and its storage. */
	readonly storage?: (storage: Storage) => GroupCoordinatorOptions["storage"];
}

/** Starts a coordinator; it is stopped after the test. */
export async function start(asked: HarnessOptions = {}): Promise<Harness> {
	const { dataDir, clock = new FakeClock() } = asked;
	const storage = await Storage.open({
		dataDir: dataDir ?? "memory",
		memory: dataDir === undefined,
	});
	const complaints: Harness["complaints"] = [];
	const opened = await MetadataWriter.open(new EmbeddedMetadataStore(storage));
	const catalogue = await TopicCatalogue.open(storage, opened, {
		partitionsDefault: 1,
		createsAutomatically: true,
		onDeletionFailed: (_, error) => complaints.push({ details: { error }, message: "deletion" }),
	});
	const complain = (details: object, message: string) => complaints.push({ details, message });
	const options = { ...OPTIONS, ...asked.options };
	const coordinator = new GroupCoordinator({
		options,
		configs: GroupConfigs.open(opened, options),
		storage: asked.storage?.(storage) ?? storage,
		catalogue,
		clock,
		log: { debug: () => undefined, warn: complain, error: complain },
	});
	if (asked.unloaded !== true) await coordinator.load();
	const number = startedCount++;
	const stop = async () => {
		if (!running.delete(number)) return;
		coordinator.close();
		await catalogue.close();
		await storage.close();
	};
	running.set(number, stop);
	// Each for itself: what was begun last is ended first, and a directory goes behind its store.
	onTestFinished(() => running.get(number)?.());
	return {
		coordinator,
		catalogue,
		storage,
		clock,
		complaints,
		dataDir: dataDir ?? "",
		appendRecords: (groupId, records) => {
			const log = new OffsetsLog(storage, catalogue, OPTIONS.offsetsTopicNumPartitions);
			return new Promise((resolve, reject) => {
				log.append(log.partitionOf(groupId), records, (error) => {
					if (error === undefined) resolve();
					else reject(error);
				});
			});
		},
		produce: (topic, partition, count) => produce(storage, catalogue, topic, partition, count),
		stop,
	};
}

async function produce(
	storage: Storage,
	catalogue: TopicCatalogue,
	topic: string,
	partition: number,
	count: number,
): Promise<void> {
	const records = Array.from({ length: count }, (_, index) => [`value ${index}`]);
	const entries = [[topic, partition, -1, 0, records]];
	const frame = new FrameWriter().value([3, 1, 2, entries]).finish();
	storage.decodeProduce(frame);
	storage.plan[PLAN_TOPIC_HANDLE] = catalogue.get(topic)!.handle;
	storage.plan[PLAN_CODE] = 0;
	const token = storage.append(frame, 1, 2, -1, -1, storage.nextConnection());
	if (token !== 0) await new Promise((resolve) => storage.onToken(token, resolve));
}

export const protocol = (name: string, metadata = name): MemberProtocol => ({
	name,
	metadata: Buffer.from(metadata),
});

export function joinRequest(change: Partial<JoinRequest> = {}): JoinRequest {
	return {
		groupId: "g",
		memberId: "",
		groupInstanceId: null,
		clientId: "client",
		clientHost: "/127.0.0.1",
		protocolType: "test",
		protocols: [protocol("roundrobin")],
		sessionTimeoutMs: 10_000,
		rebalanceTimeoutMs: 30_000,
		requiresKnownMemberId: false,
		supportsSkippingAssignment: true,
		reason: null,
		...change,
	};
}

/** A commit of one offset by nobody's member. */
export function commitRequest(
	offset: number,
	change: Partial<CommitRequest> & { readonly metadata?: string | null } = {},
): CommitRequest {
	const { metadata = null, ...rest } = change;
	return {
		groupId: "g",
		memberId: "",
		groupInstanceId: null,
		generation: -1,
		retentionMs: null,
		knowsGroupIdNotFound: true,
		topics: [
			{ topic: "orders", partitions: [{ partition: 0, offset, leaderEpoch: -1, metadata }] },
		],
		...rest,
	};
}

/** The error's code; fails when there was none. */
export async function codeOf(promise: Promise<unknown> | (() => unknown)): Promise<string> {
	try {
		await (typeof promise === "function" ? promise() : promise);
	} catch (error) {
		return (error as { code: string }).code;
	}
	return "NONE";
}

/** Has what is due compacted at once. */
export const COMPACTING: UpkeepOptions = {
	logRetentionCheckIntervalMs: 300_000,
	logCleanerEnable: true,
	logCleanerBackoffMs: 10,
	logCleanerDedupeBufferSize: 1_048_576,
	logCleanerIoMaxBytesPerSecond: Number.MAX_SAFE_INTEGER,
	scrubMaxBytesPerSecond: 0,
};

/** The record of a commit to one of ten partitions of `orders`. */
export function commitOf(groupId: string, offset: number): GroupRecord {
	return offsetRecord(groupId, "orders", offset % 10, {
		offset,
		leaderEpoch: -1,
		metadata: "",
		commitMs: 1_700_000_000_000,
		expireMs: -1,
		topicId: NIL_UUID,
	});
}
