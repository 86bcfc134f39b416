/**
 * The broker that Kafka clients are pointed at: one Millrace a test file, in a process and a
 * directory of its own. With MILLRACE_TEST_KAFKA_BOOTSTRAP=HOST:PORT it is whatever serves there,
 * such as an Apache Kafka: the same scenarios must pass, which shows that they ask for what Kafka
 * does and not for what Millrace happens to do.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import kafkajs, { type Admin } from "kafkajs";
import { beforeAll } from "vitest";

import { connect } from "../../src/client/index.ts";
import { type AtEnd, atEndOfSuite, BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { KAFKAJS_SETTINGS } from "../kafkajs-settings.ts";

export interface KafkaTarget {
	/** "HOST:PORT" for Kafka clients. */
	readonly bootstrap: string;
	/** "ws://…" for the SDK and the command; null when it is not Millrace. */
	readonly url: string | null;
	readonly admin: Admin;
}

/** The address of another Kafka that the tests are to run against; undefined for Millrace. */
export const EXTERNAL_BOOTSTRAP = process.env.MILLRACE_TEST_KAFKA_BOOTSTRAP;

const READY_MS_MAX = 180_000;

/** Nobody waits for members that do not come, nor long for the heartbeat that tells of a change. */
const PROMPT_FLAGS = [
	"--group-initial-rebalance-delay-ms=0",
	"--group-consumer-min-heartbeat-interval-ms=500",
	"--group-consumer-heartbeat-interval-ms=500",
];

/** Why a test that is about Millrace alone is skipped against another Kafka. */
export const ONLY_MILLRACE = "it is about Millrace, and the tests run against another Kafka";

/**
 * A target for the tests of one file or suite, which is up when they run.
 * @param flags further flags of `millrace start`
 */
export function serveKafka(flags: readonly string[] = []): () => KafkaTarget {
	let target: KafkaTarget | undefined;
	const atEnd = atEndOfSuite();
	beforeAll(async () => {
		const { bootstrap, url } = await address(flags, atEnd);
		const admin = new kafkajs.Kafka({
			...KAFKAJS_SETTINGS,
			brokers: [bootstrap],
			retry: { initialRetryTime: 50, retries: 8 },
		}).admin();
		await admin.connect();
		atEnd(() => admin.disconnect());
		target = { bootstrap, url, admin };
	});
	return () => {
		if (target === undefined) throw new Error("the broker is not up");
		return target;
	};
}

async function address(
	flags: readonly string[],
	atEnd: AtEnd,
): Promise<{ bootstrap: string; url: string | null }> {
	if (EXTERNAL_BOOTSTRAP !== undefined) return { bootstrap: EXTERNAL_BOOTSTRAP, url: null };
	const dataDir = temporaryDirectory(atEnd);
	const broker = await BrokerProcess.start({
		dataDir,
		flags: ["--kafka", "127.0.0.1:0", ...PROMPT_FLAGS, ...flags],
		atEnd,
	});
	if (broker.kafka === null) throw new Error("the broker serves no Kafka clients");
	return { bootstrap: broker.kafka, url: broker.url };
}

/** A name that nobody else uses: another Kafka may be shared and full of topics. */
export function uniqueName(kind: string): string {
	return `${kind}-${randomBytes(6).toString("hex")}`;
}

/**
 * Creates a topic of a new name and gives the name. It is ready for everyone then: Apache Kafka
 * answers before its partitions serve, and clients that come too early do things twice.
 */
export async function createTopic(
	{ admin, url }: KafkaTarget,
	partitions: number,
	configs: Record<string, string> = {},
): Promise<string> {
	const topic = uniqueName("topic");
	if (url !== null) {
		const client = await connect(url, { connectTimeoutMs: 60_000 });
		await client.topics.create(topic, { partitions, configs });
		await client.close();
		return topic;
	}
	const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
	await admin.createTopics({
		waitForLeaders: false,
		topics: [{ topic, numPartitions: partitions, configEntries }],
	});
	for (const deadlineMs = Date.now() + READY_MS_MAX; ; await sleep(20)) {
		try {
			// Asks every partition's leader.
			const offsets = await admin.fetchTopicOffsets(topic);
			if (offsets.length === partitions) return topic;
		} catch (error) {
			if (Date.now() > deadlineMs) throw error;
		}
	}
}
