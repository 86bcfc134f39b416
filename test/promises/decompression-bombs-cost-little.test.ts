/**
 * The promise: a small batch that expands to gigabytes, or says that it does, is refused with the
 * code that producers of Kafka take for final; the broker never holds what it expands to, and
 * others are served meanwhile.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";

import { LIMITS } from "../../src/limits.ts";
import { CODES } from "../../src/protocol/codes.ts";
import { atEndOfSuite, BrokerProcess } from "../broker-process.ts";
import { BOMBS, type Bomb, CODEC, gzipBomb, HARMLESS } from "../decompression-bombs.ts";
import type { Fields } from "../kafka/client-codec.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { recordBatch } from "../record-batch.ts";
import { Neighbour } from "./neighbour.ts";

const MEBIBYTE = 1_048_576;
const TEST_MS_MAX = 300_000;
const CODECS = Object.keys(CODEC) as Bomb["codec"][];

/** What one bomb may make the broker grow by: the largest window that a codec is given. */
const ONE_BOMB_BYTES = 128 * MEBIBYTE;
/** ... and many at once, with what waits for its turn; they expand to 2 GiB and more. */
const MANY_BOMBS_BYTES = 512 * MEBIBYTE;
const MANY = 16;

/** As Kafka tells them; -1 is UNKNOWN_SERVER_ERROR, its answer to damaged compression. */
const KAFKA_CODE: Readonly<Record<Bomb["fault"], number>> = {
	expands: CODES.MESSAGE_TOO_LARGE.code,
	damaged: -1,
	empty: CODES.INVALID_RECORD.code,
};

let broker: BrokerProcess;
let neighbour: Neighbour;
let kafka: RawKafkaClient;

const atEnd = atEndOfSuite();

const connectKafka = () => RawKafkaClient.connect(Number(broker.kafka?.split(":").at(-1)));

beforeAll(async () => {
	broker = await BrokerProcess.start({ atEnd });
	neighbour = await Neighbour.start(broker.url);
	kafka = await connectKafka();
	const configs = [{ name: "max.message.bytes", value: `${LIMITS.batchBytesMax}` }];
	const topic = { name: "target", numPartitions: 1, replicationFactor: 1, assignments: [] };
	await kafka.request("CreateTopics", 7, { topics: [{ ...topic, configs }], timeoutMs: 30_000 });
}, TEST_MS_MAX);

afterAll(async () => {
	await kafka.close();
	await neighbour.stop();
	const { code, signal, stderr } = await broker.stop();
	expect({ code, signal }).toEqual({ code: 0, signal: null });
	expect(stderr.split("\n").filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
});

const produceRequest = (codec: Bomb["codec"], body: Uint8Array): Fields => {
	const records = recordBatch([new Uint8Array(1)], { attributes: CODEC[codec], body });
	const topicData = [{ name: "target", partitionData: [{ index: 0, records }] }];
	return { transactionalId: null, acks: -1, timeoutMs: 60_000, topicData };
};

async function produce(client: RawKafkaClient, request: Fields): Promise<number> {
	const { responses } = await client.request("Produce", 9, request);
	const [topic] = responses as [{ partitionResponses: [{ errorCode: number }] }];
	return topic.partitionResponses[0].errorCode;
}

/** Has the kernel note the process's largest resident memory from here on. */
function forgetPeak(): void {
	writeFileSync(`/proc/${broker.pid}/clear_refs`, "5");
}

/** The largest resident memory since `forgetPeak`, in bytes. */
function peakBytes(): number {
	const status = readFileSync(`/proc/${broker.pid}/status`, "utf8");
	return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
}

/** Resolves to how much the broker's memory grew at most while something was done to it. */
async function growthDuring(work: () => Promise<void>): Promise<number> {
	forgetPeak();
	const before = peakBytes();
	await work();
	return peakBytes() - before;
}

test.for(BOMBS)("$codec: $what", { timeout: TEST_MS_MAX }, async ({ codec, fault, make }) => {
	const request = produceRequest(codec, make());
	const grown = await growthDuring(async () => {
		expect(await produce(kafka, request)).toBe(KAFKA_CODE[fault]);
	});
	expect(grown).toBeLessThan(ONE_BOMB_BYTES);
	expect(await produce(kafka, produceRequest(codec, HARMLESS[codec]()))).toBe(0);
	await neighbour.goesOn();
});

test.for(CODECS)(
	"many of %s at once hold up nobody, nor do they add up",
	{ timeout: TEST_MS_MAX },
	async (codec) => {
		const [{ make }] = BOMBS.filter((bomb) => bomb.codec === codec && bomb.fault === "expands") as [
			Bomb,
		];
		const request = produceRequest(codec, make());
		const clients = await Promise.all(Array.from({ length: MANY }, connectKafka));
		const grown = await growthDuring(async () => {
			const produced = clients.map((client) => produce(client, request));
			await neighbour.goesOn();
			// Somebody else's compressed records wait for a few of them, not for all.
			expect(await produce(kafka, produceRequest(codec, HARMLESS[codec]()))).toBe(0);
			expect(new Set(await Promise.all(produced))).toEqual(new Set([CODES.MESSAGE_TOO_LARGE.code]));
		});
		expect(grown).toBeLessThan(MANY_BOMBS_BYTES);
		await Promise.all(clients.map((client) => client.close()));
		await neighbour.goesOn();
	},
);

test("a body of HTTP that is compressed is refused, and not expanded", async () => {
	const body = gzipBomb(512 * MEBIBYTE);
	const headers = { "content-type": "application/json", "content-encoding": "gzip" };
	const grown = await growthDuring(async () => {
		const answer = await fetch(`${broker.http}/v1/topics`, { method: "POST", headers, body });
		expect(answer.status).toBe(415);
		const detail = expect.stringContaining("without Content-Encoding");
		expect(await answer.json()).toMatchObject({ name: "INVALID_REQUEST", detail });
	});
	expect(grown).toBeLessThan(ONE_BOMB_BYTES);
	await neighbour.goesOn();
});
