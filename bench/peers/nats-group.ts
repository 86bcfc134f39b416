/** Millrace over WebSocket beside NATS JetStream, native and over WebSocket. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import type { Contender, PeerGroup } from "./contender.ts";
import { NATS_SERVER, peerPackageVersion, serverVersion } from "./installed.ts";
import { startMillrace } from "./millrace-contender.ts";
import { type NodeLoad, nodeConsumeScenario, nodeProduceScenario } from "./node-scenarios.ts";
import { NATS_SYNC_INTERVALS, startNats } from "./servers.ts";

const LOAD: NodeLoad = {
	peer: "nats",
	client: () => `@nats-io/jetstream ${peerPackageVersion("@nats-io/jetstream")}`,
	flushMs: 120_000,
};

export const NATS_GROUP: PeerGroup = {
	peer: "nats",
	scenarios: [
		nodeProduceScenario(LOAD, "written", 100),
		nodeProduceScenario(LOAD, "written", 1_024),
		nodeProduceScenario(LOAD, "written", 100, "fast-ingest"),
		nodeProduceScenario(LOAD, "written", 1_024, "fast-ingest"),
		nodeProduceScenario(LOAD, "flushed", 100),
		nodeProduceScenario(LOAD, "flushed", 1_024),
		nodeConsumeScenario(LOAD, "each", 100),
		nodeConsumeScenario(LOAD, "each", 1_024),
		nodeConsumeScenario(LOAD, "batches", 100),
		nodeConsumeScenario(LOAD, "batches", 1_024),
	],
	start,
};

async function start(
	directory: string,
	stops: (() => Promise<void>)[],
): Promise<readonly Contender[]> {
	const settings = `flush.messages off, flush.ms=${LOAD.flushMs}`;
	const ours = join(directory, "millrace");
	const millrace = await startMillrace(ours, ({ url }) => url, settings);
	stops.push(millrace.stop);

	const startOne = async (durability: keyof typeof NATS_SYNC_INTERVALS) => {
		const own = join(directory, `nats-${durability}`);
		await mkdir(own);
		const server = await startNats(own, durability);
		stops.push(server.stop);
		return server;
	};
	const servers = { written: await startOne("written"), flushed: await startOne("flushed") };
	const theirs = {
		version: serverVersion(NATS_SERVER),
		written: `file storage, sync_interval: ${NATS_SYNC_INTERVALS.written}`,
		flushed: `file storage, sync_interval: ${NATS_SYNC_INTERVALS.flushed}`,
	};
	const overWebSocket: Contender = {
		...theirs,
		contender: "nats-websocket",
		title: "NATS JetStream over WebSocket",
		endpoint(durability) {
			const { websocket, measure } = servers[durability];
			return { address: websocket, measure };
		},
	};
	const native: Contender = {
		...theirs,
		contender: "nats",
		title: "NATS JetStream",
		endpoint: (durability) => servers[durability],
	};
	return [millrace.contender, overWebSocket, native];
}
