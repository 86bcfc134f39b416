/**
 * The promise: deleting a topic gives its disk blocks back, also while consumers are being served
 * from its mapped files, and so does retention where files have no delay. Bytes that wait for a
 * socket hold them until they are sent or the connection ends.
 */
import { statfsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { OPERATION } from "../../src/protocol/operations.ts";
import type { FrameValue } from "../../src/protocol/writer.ts";
import { BrokerProcess } from "../broker-process.ts";
import { missingMounts, mountMemory } from "../mounts.ts";
import { requireTransport, TRANSPORTS } from "../websocket/harness.ts";
import { RawClient } from "../websocket/raw-client.ts";

const MEBIBYTE = 1_048_576;
const STORED_BYTES = 20 * MEBIBYTE;
const VALUE_BYTES = 100_000;
/** What the metadata and the files of an empty topic may take. */
const REMAINDER_BYTES_MAX = MEBIBYTE;

const [CAUGHT_UP, ENDED] = [OPERATION.caughtUp, OPERATION.ended];
/** The garbage is not collected meanwhile: that must not be what gives the blocks back. */
const NO_COLLECTION = [
	"--no-memory-reducer",
	"--min-semi-space-size=64",
	"--max-semi-space-size=64",
];
const SUBSCRIBE: FrameValue[] = [
	...[OPERATION.subscribe, 1, 1, "short-lived", 0, "earliest"],
	{ format: "batch", credit: [1_000_000, 60_000_000] },
];

describe.each(TRANSPORTS)("%s", (transport) => {
	requireTransport(transport);

	test.for([
		["topic being read", "deletion", false],
		["topic waiting for a socket", "deletion", true],
		["log being read that retention cuts", "retention", false],
	] as const)("a %s", async ([, way, isStalled], context) => {
		const missing = missingMounts();
		if (missing !== null) context.skip(missing);
		const { directory } = mountMemory(128 * MEBIBYTE);
		const usedBytes = () => {
			const { bsize, blocks, bfree } = statfsSync(directory);
			return bsize * (blocks - bfree);
		};
		const dataDir = join(directory, "data");
		const flags = ["--websocket-transport", transport, "--log-retention-check-interval-ms", "100"];
		const broker = await BrokerProcess.start({ dataDir, flags, nodeFlags: NO_COLLECTION });
		const client = await connect(broker.url);
		const configs = { "segment.bytes": "1048576", "file.delete.delay.ms": "0" };
		await client.topics.create("short-lived", { configs });
		const emptyBytes = usedBytes();
		const producer = client.producer<Uint8Array>({ codec: "bytes" });
		for (let bytes = 0; bytes < STORED_BYTES; bytes += VALUE_BYTES) {
			await producer.send({ topic: "short-lived", value: new Uint8Array(VALUE_BYTES) });
		}
		expect(usedBytes()).toBeGreaterThan(STORED_BYTES);

		const reading = await Promise.all([1, 2].map(() => RawClient.greeted(broker.url)));
		for (const reader of reading) await reader.answer(...SUBSCRIBE);
		for (const reader of reading) await reader.take(([operation]) => operation === CAUGHT_UP);
		const stalled = await RawClient.greeted(broker.url);
		if (isStalled) {
			stalled.send(...SUBSCRIBE);
			stalled.socket.pause();
			await sleep(200);
		}
		if (way === "retention") {
			await client.topics.alter("short-lived", { "retention.ms": "0" });
		} else {
			await client.topics.delete("short-lived");
			for (const reader of reading) await reader.take(([operation]) => operation === ENDED);
		}
		stalled.close();
		await expect.poll(usedBytes).toBeLessThan(emptyBytes + REMAINDER_BYTES_MAX);
		for (const reader of reading) reader.close();
		await client.close();
		expect(await broker.stop()).toMatchObject({ code: 0 });
	});
});
