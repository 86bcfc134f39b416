/** A whole broker, asked in the Kafka protocol by a client that says just what it is told to. */
import { describe, expect, onTestFinished, test } from "vitest";
import { connect } from "../../src/client/index.ts";
import { startBroker } from "../../src/index.ts";
import { recordBatch } from "../record-batch.ts";
import { pick } from "./pick.ts";
import { RawKafkaClient } from "./raw-client.ts";
import { kafkaPortOf, useBroker } from "./use-broker.ts";

const used = useBroker();

const produceRequest = (topic: string, records: Uint8Array, acks = -1) => ({
	transactionalId: null,
	acks,
	timeoutMs: 1_000,
	topicData: [{ name: topic, partitionData: [{ index: 0, records }] }],
});

const fetchRequest = (topic: string, fetchOffset: number, more: object = {}) => ({
	maxWaitMs: 0,
	minBytes: 1,
	maxBytes: 1_048_576,
	sessionId: 0,
	sessionEpoch: -1,
	topics: [{ topic, partitions: [{ partition: 0, fetchOffset, partitionMaxBytes: 1_048_576 }] }],
	...more,
});

const texts = (...values: string[]) => values.map((value) => Buffer.from(value));

describe("one log, two protocols", () => {
	test("what the SDK sends is fetched over Kafka, and the other way round", async () => {
		const client = await connect(used.broker.addresses.websocket);
		onTestFinished(() => client.close());
		const raw = await used.connect();
		await raw.request("Metadata", 9, { topics: [{ name: "both" }] });
		await client.producer({ codec: "string" }).send({ topic: "both", value: "from the SDK" });
		await raw.request("Produce", 9, produceRequest("both", recordBatch(texts("from Kafka"))));
		const answer = await raw.request("Fetch", 12, fetchRequest("both", 0));
		const fetched = pick(answer, "responses", 0, "partitions", 0);
		expect(fetched).toMatchObject({ errorCode: 0, highWatermark: 2, logStartOffset: 0 });
		const bytes = Buffer.from(fetched.records as Uint8Array);
		expect(bytes.includes("from the SDK")).toBe(true);
		expect(bytes.includes("from Kafka")).toBe(true);
		const consumer = client.consumer({ topics: "both", from: "earliest", codec: "string" });
		const values: unknown[] = [];
		for await (const record of consumer) {
			values.push(record.value);
			if (values.length === 2) break;
		}
		expect(values).toEqual(["from the SDK", "from Kafka"]);
	});

	test("a waiting fetch is woken by a WebSocket producer", async () => {
		const client = await connect(used.broker.addresses.websocket);
		onTestFinished(() => client.close());
		const raw = await used.connect();
		await raw.request("Metadata", 9, { topics: [{ name: "waited" }] });
		const answer = raw.request("Fetch", 12, fetchRequest("waited", 0, { maxWaitMs: 25_000 }));
		await client.producer().send({ topic: "waited", value: 1 });
		const fetched = pick(await answer, "responses", 0, "partitions", 0);
		expect(fetched).toMatchObject({ errorCode: 0, highWatermark: 1 });
	});
});

describe("numbered batches", () => {
	test("of several producers come over one connection, each stored once and in order", async () => {
		const raw = await used.connect();
		await raw.request("Metadata", 9, { topics: [{ name: "numbered" }] });
		const nextProducer = async () => {
			const asked = { transactionalId: null, transactionTimeoutMs: 60_000 };
			const { producerId, producerEpoch } = await raw.request("InitProducerId", 4, asked);
			return { id: producerId as number, epoch: producerEpoch as number };
		};
		const [one, other] = [await nextProducer(), await nextProducer()];
		expect(one.id).not.toBe(other.id);
		const produce = async (producer: typeof one, sequence: number) => {
			const batch = recordBatch(texts("a", "b"), { producer: { ...producer, sequence } });
			const answer = await raw.request("Produce", 9, produceRequest("numbered", batch));
			const { errorCode, baseOffset } = pick(answer, "responses", 0, "partitionResponses", 0);
			return [errorCode, baseOffset];
		};
		expect(await produce(one, 0)).toEqual([0, 0]);
		expect(await produce(other, 0)).toEqual([0, 2]);
		expect(await produce(one, 2)).toEqual([0, 4]);
		// Again: it is where it was.
		expect(await produce(one, 2)).toEqual([0, 4]);
		expect(await produce(other, 5)).toEqual([45, -1]);
	});
});

test("a batch that has an offset already is refused", async () => {
	const raw = await used.connect();
	await raw.request("Metadata", 9, { topics: [{ name: "offset" }] });
	const batch = recordBatch(texts("a", "b"), { baseOffset: 7 });
	const answer = await raw.request("Produce", 9, produceRequest("offset", batch));
	const { errorCode } = pick(answer, "responses", 0, "partitionResponses", 0);
	expect(errorCode).toBe(87);
});

describe("max.connections", () => {
	test("bounds the connections of both protocols together", async () => {
		const small = await startBroker({ memory: true, maxConnections: 2 });
		onTestFinished(() => small.close());
		const client = await connect(small.addresses.websocket);
		onTestFinished(() => client.close());
		const port = kafkaPortOf(small);
		const raw = await RawKafkaClient.connect(port);
		await raw.request("Metadata", 9, { topics: [] });
		const refused = await RawKafkaClient.connect(port);
		await expect(refused.request("Metadata", 9, { topics: [] })).rejects.toThrow();
		await expect(connect(small.addresses.websocket)).rejects.toMatchObject({
			code: "CONNECTION_LOST",
			message: expect.stringContaining("503"),
		});
		await raw.request("Metadata", 9, { topics: [] });
		await raw.close();
		await expect
			.poll(() => connect(small.addresses.websocket).then((other) => other.close()))
			.toBe(undefined);
	});
});

describe("a connection", () => {
	test("answers pipelined requests in their order", async () => {
		const raw = await used.connect();
		await raw.request("Metadata", 9, { topics: [{ name: "ordered" }] });
		for (let sent = 0; sent < 50; sent++) {
			const batch = recordBatch(texts(`${sent}`));
			raw.send("Produce", 9, produceRequest("ordered", batch), { correlationId: 100 + sent });
			raw.send(
				"ListOffsets",
				1,
				{
					replicaId: -1,
					topics: [{ name: "ordered", partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
				},
				{ correlationId: 1_000 + sent },
			);
		}
		for (let sent = 0; sent < 50; sent++) {
			expect((await raw.frame()).readInt32BE(0)).toBe(100 + sent);
			expect((await raw.frame()).readInt32BE(0)).toBe(1_000 + sent);
		}
	});

	test("acks 0 gets no answer, and is there for what comes after it", async () => {
		const raw = await used.connect();
		await raw.request("Metadata", 9, { topics: [{ name: "unanswered" }] });
		raw.send("Produce", 9, produceRequest("unanswered", recordBatch(texts("a")), 0));
		const listed = await raw.request("ListOffsets", 1, {
			replicaId: -1,
			topics: [{ name: "unanswered", partitions: [{ partitionIndex: 0, timestamp: -2 }] }],
		});
		expect(pick(listed, "topics", 0, "partitions", 0)).toMatchObject({ errorCode: 0, offset: 0 });
		const fetched = await raw.request(
			"Fetch",
			12,
			fetchRequest("unanswered", 0, { maxWaitMs: 25_000 }),
		);
		expect(pick(fetched, "responses", 0, "partitions", 0)).toMatchObject({ highWatermark: 1 });
	});

	test("a version of ApiVersions that is not known is answered with those that are", async () => {
		const raw = await used.connect();
		// Version 5: a header with tagged fields and a body that nobody here can read.
		raw.sendFrame(Buffer.from("0012000500000007000178000363626100", "hex"));
		expect((await raw.frame()).toString("hex")).toBe("00000007002300000001001200000004");
	});

	test.each([
		["a length of 2 GiB", "7fffffff"],
		["a negative length", "fffffffb"],
		["a frame without room for a header", "000000040012 0000"],
		["an API that does not exist", "0000000a03e8000000000007ffff"],
		["a version that is not served", "0000000e0003006300000007ffff00000000"],
		["an array longer than its frame", "0000000e0003000100000007ffff7fffffff"],
	])("%s ends it, and no other", async (_what, hex) => {
		const neighbour = await used.connect();
		const raw = await used.connect();
		raw.sendBytes(Buffer.from(hex.replaceAll(" ", ""), "hex"));
		await raw.closed;
		expect((await neighbour.request("ApiVersions", 0)).errorCode).toBe(0);
	});
});
