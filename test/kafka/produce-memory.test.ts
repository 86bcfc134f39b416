/** What a produce request keeps alive while its flush is waited for: nothing of what it sent. */
import { type AddressInfo, createServer } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, expect, test, vi } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { ServedApi } from "../../src/kafka/api.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { FrameBlocks } from "../../src/kafka/frames.ts";
import { SERVED_APIS } from "../../src/kafka/handlers/table.ts";
import type { KafkaHost } from "../../src/kafka/host.ts";
import { readInto } from "../../src/kafka/socket.ts";
import { KafkaWriter } from "../../src/kafka/wire/writer.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { RequestFigures } from "../../src/monitoring/request-figures.ts";
import { TopicTraffic } from "../../src/monitoring/topic-traffic.ts";
import { NO_AUTHORIZATION } from "../../src/security/authorizer.ts";
import { Storage } from "../../src/storage/storage.ts";
import { TopicCatalogue } from "../../src/topics/catalogue.ts";
import { recordBatch } from "../record-batch.ts";
import { decodeResponse } from "./client-codec.ts";
import { pick } from "./pick.ts";
import { RawKafkaClient } from "./raw-client.ts";

const PRODUCE_KEY = 0;
const REQUESTS = 8;
/** Fits into what one read brings, so that the request lies in memory that is lent. */
const VALUE_BYTES = 20_000;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const closers: (() => unknown)[] = [];
afterEach(async () => {
	for (const close of closers.splice(0).reverse()) await close();
});

async function openStorage(): Promise<{ storage: Storage; catalogue: TopicCatalogue }> {
	const storage = await Storage.open({ dataDir: "", memory: true, owner: true });
	closers.push(() => storage.close());
	const opened = await MetadataWriter.open(new EmbeddedMetadataStore(storage));
	const catalogue = await TopicCatalogue.open(storage, opened, {
		partitionsDefault: 1,
		createsAutomatically: false,
		onDeletionFailed: (_, error) => {
			throw error;
		},
	});
	closers.push(() => catalogue.close());
	await catalogue.create({ name: "a" });
	return { storage, catalogue };
}

/** The APIs, of which Produce also notes the memory that its requests lie in. */
function apisNoting(memories: WeakRef<ArrayBufferLike>[]): Map<number, ServedApi> {
	const produce = SERVED_APIS.get(PRODUCE_KEY) as ServedApi;
	return new Map(SERVED_APIS).set(PRODUCE_KEY, {
		facts: produce.facts,
		isAudited: false,
		serve(reader, exchange) {
			memories.push(new WeakRef(exchange.frame.buffer));
			return produce.serve(reader, exchange);
		},
	});
}

async function connectTo(host: KafkaHost): Promise<RawKafkaClient> {
	const server = createServer({ pauseOnConnect: true }, (accepted) => {
		const memory = Buffer.alloc(2 * VALUE_BYTES);
		const socket = readInto(memory, accepted, (chunk) => connection.received(chunk));
		const connection = new KafkaConnection(host, socket, 1, () => undefined);
		socket.resume();
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	closers.push(() => new Promise((resolve) => server.close(resolve)));
	const client = await RawKafkaClient.connect((server.address() as AddressInfo).port);
	closers.push(() => client.close());
	return client;
}

const produceRequest = () => ({
	transactionalId: null,
	acks: -1,
	timeoutMs: 1_000,
	topicData: [
		{
			name: "a",
			partitionData: [{ index: 0, records: recordBatch([Buffer.alloc(VALUE_BYTES)]) }],
		},
	],
});

test("requests whose flush is waited for hold none of the memory they came in", async () => {
	const { storage, catalogue } = await openStorage();
	const flushes: (() => void)[] = [];
	const onToken = storage.onToken.bind(storage);
	vi.spyOn(storage, "onToken").mockImplementation((token, done) => {
		onToken(token, (code) => flushes.push(() => done(code)));
	});
	const memories: WeakRef<ArrayBufferLike>[] = [];
	const error = (details: object) => logged.push(details);
	const logged: object[] = [];
	const quiet = () => undefined;
	const client = await connectTo({
		...{
			storage,
			catalogue,
			clock: systemClock,
			log: { trace: quiet, debug: quiet, warn: error, error },
			apis: apisNoting(memories),
			authorizer: NO_AUTHORIZATION,
			sasl: null,
			quotas: { isAny: false },
		},
		...{ requests: new RequestFigures(), traffic: new TopicTraffic(catalogue) },
		...{ frameBytesMax: 1_000_000, heldBytesChanged: () => undefined },
		...{ blocks: new FrameBlocks(), writer: new KafkaWriter() },
	} as unknown as KafkaHost);
	for (let count = 1; count <= REQUESTS; count++) {
		client.send("Produce", 9, produceRequest());
		await expect.poll(() => memories).toHaveLength(count);
	}
	// What the socket reads into is there to stay.
	const alive = () => {
		collectGarbage();
		return new Set(memories.map((memory) => memory.deref()).filter(Boolean)).size;
	};
	await expect.poll(alive).toBeLessThanOrEqual(1);
	await expect.poll(() => flushes).toHaveLength(REQUESTS);
	for (const flush of flushes) flush();
	for (let count = 0; count < REQUESTS; count++) {
		const { fields } = decodeResponse("Produce", 9, await client.frame());
		expect(pick(fields, "responses", 0, "partitionResponses", 0)).toMatchObject({
			errorCode: 0,
			baseOffset: count,
		});
	}
	expect(logged).toEqual([]);
});
