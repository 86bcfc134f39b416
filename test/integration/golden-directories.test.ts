/**
 * Data directories that earlier versions left behind are opened for ever: every record that was
 * in them is read over both protocols, what was damaged is damaged and nothing else, and they can
 * be written on. What is in them is told in test/fixtures/log-format/README.md.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import {
	damageOf,
	GOLDEN_FLAGS,
	type GoldenManifest,
	type GoldenTopic,
	goldenNames,
	hashOf,
	produceBatch,
	readGroupConfigs,
	readGroups,
	readManifest,
	readTopics,
	unpack,
} from "../golden-directory.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { recordBatch } from "../record-batch.ts";

const text = (value: string) => new TextEncoder().encode(value);
const startOn = (dataDir: string) => BrokerProcess.start({ dataDir, flags: GOLDEN_FLAGS });
const kafkaOf = ({ kafka }: BrokerProcess) =>
	RawKafkaClient.connect(Number(kafka?.split(":").at(-1)));

/** Topics as they were before something was appended, out of what is read now. */
function before(now: readonly GoldenTopic[], manifest: GoldenManifest): GoldenTopic[] {
	return now.map((topic, index) => ({
		...topic,
		partitions: topic.partitions.map((partition, number) => {
			const end = manifest.topics[index]?.partitions[number]?.log_end ?? 0;
			return {
				...partition,
				log_end: end,
				records: partition.records.filter(([offset]) => offset < end),
				batches: partition.batches.filter(([offset]) => offset < end),
			};
		}),
	}));
}

/** Every producer's last batch is known when it comes again, and the next one is taken. */
async function goOnProducing(client: RawKafkaClient, manifest: GoldenManifest): Promise<void> {
	for (const producer of manifest.producers) {
		const { topic, partition, id, epoch, sequence, base_offset, values } = producer;
		const numbered = (first: number) =>
			recordBatch(values.map(text), { producer: { id, epoch, sequence: first } });
		const repeated = await produceBatch(client, topic, partition, numbered(sequence));
		expect({ id, repeated }).toEqual({ id, repeated: base_offset });
		const next = numbered(sequence + values.length);
		expect(await produceBatch(client, topic, partition, next)).toBeGreaterThan(base_offset);
	}
}

/** Appends to every partition over both protocols and reads it again. */
async function append(broker: BrokerProcess, manifest: GoldenManifest): Promise<void> {
	const client = await connect(broker.url);
	const kafka = await kafkaOf(broker);
	await goOnProducing(kafka, manifest);
	const producer = client.producer({ codec: "bytes" });
	const expected: [where: string, hash: string][] = [];
	for (const { name, configs, partitions } of manifest.topics) {
		for (const partition of partitions.keys()) {
			const where = `${name}-${partition}`;
			const value = text(`new ${where}`);
			const { offset } = await producer.send({ topic: name, partition, key: text("new"), value });
			expected.push([`${where} ${offset}`, hashOf(value)]);
			// Compacted topics take no record without a key.
			if (configs["cleanup.policy"] === "compact") continue;
			const base = await produceBatch(kafka, name, partition, recordBatch([value]));
			expected.push([`${where} ${base}`, hashOf(value)]);
		}
	}
	await client.close();
	await kafka.close();
	const topics = await readTopics(
		broker,
		manifest.topics.map(({ name }) => name),
	);
	const found = new Map<string, string | null>(
		topics.flatMap(({ name, partitions }) =>
			partitions.flatMap(({ records }, partition) =>
				records.map(([offset, , hash]) => [`${name}-${partition} ${offset}`, hash] as const),
			),
		),
	);
	for (const [where, hash] of expected) expect([where, found.get(where)]).toEqual([where, hash]);
}

async function verify(dataDir: string) {
	const { code, stdout } = await runCommand(["verify", "--data-dir", dataDir, "--json"]);
	expect(code).toBe(4);
	return damageOf(stdout);
}

const versionOf = (dataDir: string): number =>
	JSON.parse(readFileSync(join(dataDir, "format.json"), "utf8")).format_version;

describe.each(goldenNames())("%s", (name) => {
	const manifest = readManifest(name);
	const names = manifest.topics.map((topic) => topic.name);

	test("is read whole and goes on", async () => {
		const dataDir = join(temporaryDirectory(), "data");
		unpack(name, dataDir);
		expect(await verify(dataDir)).toEqual(manifest.damage);

		let broker = await startOn(dataDir);
		expect(await readTopics(broker, names)).toEqual(manifest.topics);
		expect(await readGroups(broker, Object.keys(manifest.groups))).toEqual(manifest.groups);
		const kafka = await kafkaOf(broker);
		const configs = await readGroupConfigs(kafka, manifest.group_configs);
		await kafka.close();
		expect(configs).toEqual(manifest.group_configs);
		const client = await connect(broker.url);
		expect((await client.topics.list()).map((topic) => topic.name)).not.toContain("gone");
		await client.close();
		await append(broker, manifest);
		await broker.kill();

		broker = await startOn(dataDir);
		expect(before(await readTopics(broker, names), manifest)).toEqual(manifest.topics);
		expect(await readGroups(broker, Object.keys(manifest.groups))).toEqual(manifest.groups);
		expect(await broker.stop()).toMatchObject({ code: 0 });
		expect(await verify(dataDir)).toEqual({ ranges: manifest.damage.ranges, tails: [] });
		// What was put aside stays, and nothing was done that an earlier version could not read.
		const [stray] = readdirSync(join(dataDir, "set-aside"));
		expect(existsSync(join(dataDir, "set-aside", stray as string, "0", "kept"))).toBe(true);
		expect(versionOf(dataDir)).toBe(manifest.format_version);
	});
});

test("there are golden directories", () => {
	expect(goldenNames()).toEqual(
		expect.arrayContaining(["v1/killed", "v1/stopped", "v2/killed", "v2/stopped"]),
	);
});
