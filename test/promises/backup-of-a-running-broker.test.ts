/**
 * The promise: `millrace backup` of a directory that a broker is writing to is a directory from
 * which a broker starts, without damage and with every record that was acknowledged before the
 * backup began - while topics are created and deleted, segments closed, records deleted and logs
 * compacted.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { pick } from "../kafka/pick.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { RUNS_LONG_TESTS } from "../optional-parts.ts";
import { recordBatch } from "../record-batch.ts";

const PARTITIONS = 3;
const BACKUPS = RUNS_LONG_TESTS ? 3 : 1;
const VALUE_BYTES = 20_000;
const SMALL_SEGMENTS = { "segment.bytes": 1_048_576 };
const COMPACTED = {
	...SMALL_SEGMENTS,
	"cleanup.policy": "compact",
	"min.cleanable.dirty.ratio": 0.01,
};
const KEYS = 40;
/** Records of each topic between two backups: some segments. */
const GROWTH = 150;

type Client = Awaited<ReturnType<typeof connect>>;

const kafkaOf = ({ kafka }: BrokerProcess) =>
	RawKafkaClient.connect(Number(kafka?.split(":").at(-1)));

/** What writes to a broker until it is told to end. */
class Load {
	/** Values that were acknowledged, by topic. */
	readonly acked = {
		kept: new Set<string>(),
		churned: new Set<string>(),
		kafka: new Set<string>(),
	};
	/** The last value of each key of the compacted topic that was acknowledged. */
	readonly latest = new Map<string, number>();
	readonly #broker: BrokerProcess;
	readonly #over = new AbortController();
	#updates = 0;
	#running: Promise<unknown> = Promise.resolve();

	constructor(broker: BrokerProcess) {
		this.#broker = broker;
	}

	async start(): Promise<void> {
		const client = await connect(this.#broker.url);
		const options = { partitions: PARTITIONS, configs: SMALL_SEGMENTS };
		for (const topic of ["kept", "churned", "kafka"]) await client.topics.create(topic, options);
		await client.topics.create("latest", { configs: COMPACTED });
		this.#running = Promise.all([
			this.#update(client),
			this.#produce(client, "kept"),
			this.#produce(client, "churned"),
			this.#deleteRecords(client),
			this.#commit(client),
			this.#changeTopics(client),
			this.#produceOverKafka(),
		]).finally(() => client.close());
	}

	/** Resolves when everything that is written has grown. */
	async goesOn(): Promise<void> {
		const counts = () => [...Object.values(this.acked).map(({ size }) => size), this.#updates];
		const goals = counts().map((count) => count + GROWTH);
		const isReached = () => counts().every((count, index) => count >= (goals[index] as number));
		while (!isReached()) await Promise.race([sleep(20), this.#running]);
	}

	async end(): Promise<void> {
		this.#over.abort();
		await this.#running;
	}

	async #produce(client: Client, topic: "kept" | "churned"): Promise<void> {
		const producer = client.producer();
		for (let number = 0; !this.#over.signal.aborted; number++) {
			const value = `${number} `.padEnd(VALUE_BYTES, "x");
			await producer.send({ topic, partition: number % PARTITIONS, value });
			this.acked[topic].add(`${number}`);
			await sleep(2);
		}
	}

	async #update(client: Client): Promise<void> {
		const producer = client.producer();
		for (let number = 0; !this.#over.signal.aborted; number++) {
			const key = `key ${number % KEYS}`;
			await producer.send({ topic: "latest", key, value: `${number} `.padEnd(VALUE_BYTES, "x") });
			this.latest.set(key, number);
			this.#updates++;
			await sleep(1);
		}
	}

	async #produceOverKafka(): Promise<void> {
		const kafka = await kafkaOf(this.#broker);
		for (let number = 0; !this.#over.signal.aborted; number++) {
			const records = recordBatch([Buffer.from(`${number} `.padEnd(1_000, "k"))]);
			const partitionData = [{ index: number % PARTITIONS, records }];
			const topicData = [{ name: "kafka", partitionData }];
			const request = { transactionalId: null, acks: -1, timeoutMs: 120_000, topicData };
			const answer = await kafka.request("Produce", 9, request);
			expect(pick(answer, "responses", 0, "partitionResponses", 0)).toMatchObject({ errorCode: 0 });
			this.acked.kafka.add(`${number}`);
			await sleep(1);
		}
		await kafka.close();
	}

	/** Takes whole segments away, as retention does. */
	async #deleteRecords(client: Client): Promise<void> {
		const kafka = await kafkaOf(this.#broker);
		while (!this.#over.signal.aborted) {
			const offsets = await client.offsets.describe("churned");
			const partitions = offsets.map(({ partition, high_watermark: end }) => ({
				partitionIndex: partition,
				offset: Math.max(end - 60, 0),
			}));
			const topics = [{ name: "churned", partitions }];
			await kafka.request("DeleteRecords", 2, { topics, timeoutMs: 120_000 });
			await sleep(20);
		}
		await kafka.close();
	}

	async #commit(client: Client): Promise<void> {
		const consumer = client.consumer({ group: "readers", topics: "kept", from: "earliest" });
		this.#over.signal.addEventListener("abort", () => void consumer.close());
		for await (const _record of consumer) {
			if (!this.#over.signal.aborted) await consumer.commit();
		}
	}

	async #changeTopics(client: Client): Promise<void> {
		for (let number = 0; !this.#over.signal.aborted; number++) {
			await client.topics.create(`short-lived-${number}`);
			await client.producer().send({ topic: `short-lived-${number}`, value: "v" });
			if (number >= 3) await client.topics.delete(`short-lived-${number - 3}`);
			await sleep(100);
		}
	}
}

/** Starts a broker on a copy, and reads all that there is of a topic. */
async function readCopy(broker: BrokerProcess, topic: string): Promise<Set<string>> {
	const client = await connect(broker.url);
	const consumer = client.consumer<string | Uint8Array>({
		topics: topic,
		from: "earliest",
		until: "end",
		codec: topic === "kafka" ? "string" : "messagepack",
	});
	const values = new Set<string>();
	// A gap would be thrown.
	for await (const { value } of consumer) {
		const number = String(value).split(" ")[0] as string;
		expect(values.has(number)).toBe(false);
		values.add(number);
	}
	await client.close();
	return values;
}

/** The last value of each key of the compacted topic. */
async function readLatest(broker: BrokerProcess): Promise<Map<string, number>> {
	const client = await connect(broker.url);
	const consumer = client.consumer<string>({ topics: "latest", from: "earliest", until: "end" });
	const latest = new Map<string, number>();
	for await (const { keyText, value } of consumer) {
		latest.set(keyText as string, Number.parseInt(value as string, 10));
	}
	await client.close();
	return latest;
}

test("a backup of a running broker has all that was acknowledged before it", async () => {
	const broker = await BrokerProcess.start({ flags: ["--log-cleaner-backoff-ms", "50"] });
	const load = new Load(broker);
	await load.start();
	for (let backup = 0; backup < BACKUPS; backup++) {
		await load.goesOn();
		const [kept, kafka] = [new Set(load.acked.kept), new Set(load.acked.kafka)];
		const latest = new Map(load.latest);
		const copy = join(temporaryDirectory(), "copy");
		const made = await runCommand(["backup", "--data-dir", broker.dataDir, copy, "--json"]);
		expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: "" });
		const { recovered } = JSON.parse(made.stdout.toString()) as {
			recovered: { detail: string }[];
		};
		// Half an append at an end is nothing that anybody was told of; all else would be damage.
		for (const { detail } of recovered) expect(detail).toMatch(/unfinished append|no topic claims/);
		expect(await runCommand(["verify", "--data-dir", copy])).toMatchObject({ code: 0 });

		const restored = await BrokerProcess.start({ dataDir: copy });
		const [keptThere, kafkaThere] = [
			await readCopy(restored, "kept"),
			await readCopy(restored, "kafka"),
		];
		expect([...kept].filter((value) => !keptThere.has(value))).toEqual([]);
		expect([...kafka].filter((value) => !kafkaThere.has(value))).toEqual([]);
		const latestThere = await readLatest(restored);
		for (const [key, number] of latest) {
			expect(latestThere.get(key), key).toBeGreaterThanOrEqual(number);
		}
		expect((await readCopy(restored, "churned")).size).toBeGreaterThan(0);
		const client = await connect(restored.url);
		for (const { committed, high_watermark: end } of (await client.groups.describe("readers"))
			.partitions) {
			expect(committed ?? 0).toBeLessThanOrEqual(end ?? 0);
		}
		// Ids that producers have in the copy's logs are not given to others.
		await client.producer().send({ topic: "kept", partition: 0, value: "new 1" });
		expect((await readCopy(restored, "kept")).has("new")).toBe(true);
		await client.close();
		expect(await restored.stop()).toMatchObject({ code: 0 });
	}
	// It is compacted meanwhile: its log does not have what was sent to it.
	const storedShare = async () => {
		const sent = Math.max(...load.latest.values()) * VALUE_BYTES;
		const usage = await runCommand(["disk", "--data-dir", broker.dataDir, "--json"]);
		const { topics } = JSON.parse(usage.stdout.toString()) as {
			topics: { topic: string; recordBytes: number }[];
		};
		const stored = topics.find(({ topic }) => topic === "latest")?.recordBytes as number;
		return stored / sent;
	};
	await expect.poll(storedShare).toBeLessThan(0.5);
	await load.end();
});
