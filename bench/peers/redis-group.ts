/** Millrace over WebSocket beside Redis Streams. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import type { Contender, PeerGroup } from "./contender.ts";
import { peerPackageVersion, REDIS_SERVER, serverVersion } from "./installed.ts";
import { REDIS_APPENDFSYNC } from "./load/redis.ts";
import { startMillrace } from "./millrace-contender.ts";
import { type NodeLoad, nodeConsumeScenario, nodeProduceScenario } from "./node-scenarios.ts";
import { startRedis } from "./servers.ts";

const LOAD: NodeLoad = {
	peer: "redis",
	client: () => `redis ${peerPackageVersion("redis")}, pipelined XADD, XREAD COUNT`,
	flushMs: 1_000,
};

export const REDIS_GROUP: PeerGroup = {
	peer: "redis",
	scenarios: [
		nodeProduceScenario(LOAD, "written", 100),
		nodeProduceScenario(LOAD, "written", 1_024),
		nodeProduceScenario(LOAD, "flushed", 100),
		nodeProduceScenario(LOAD, "flushed", 1_024),
		nodeConsumeScenario(LOAD, "batches", 100),
		nodeConsumeScenario(LOAD, "batches", 1_024),
	],
	async start(directory, stops) {
		const settings = `flush.messages off, flush.ms=${LOAD.flushMs}`;
		const ours = join(directory, "millrace");
		const theirs = join(directory, "redis");
		await mkdir(theirs);
		const millrace = await startMillrace(ours, ({ url }) => url, settings);
		stops.push(millrace.stop);
		const redis = await startRedis(theirs);
		stops.push(redis.stop);
		const contender: Contender = {
			contender: "redis",
			title: "Redis Streams",
			version: serverVersion(REDIS_SERVER),
			written: `appendonly yes, appendfsync ${REDIS_APPENDFSYNC.written}`,
			flushed: `appendonly yes, appendfsync ${REDIS_APPENDFSYNC.flushed}`,
			endpoint: () => redis,
		};
		return [millrace.contender, contender];
	},
};
