/**
 * DescribeLogDirs: v1-5.
 *
 * Behavior:
 * - There is one log directory: the data directory, or `memory`. A partition's size is what it
 *   takes on disk. Topics and partitions that are not there are left out.
 * - Nothing lags and nothing is being moved: there is one replica in one directory.
 *
 * Version notes:
 * - v3: an error for the whole request (KIP-784).  v4: size and free space of the volume (KIP-827).
 * - v5: cordoned directories (KIP-1066), which there are none of.
 */
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Topic } from "../../topics/catalogue.ts";
import { serveApi } from "../api.ts";
import { logDirOf } from "../broker-configs.ts";
import { reportedFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DESCRIBE_LOG_DIRS,
	type DescribeLogDirsRequest,
	type DescribeLogDirsResponse,
} from "../generated/35-describe-log-dirs.ts";
import { checkNamedCount, partitionsByTopic } from "../requests.ts";
import { Turns } from "../turns.ts";

type ResponseTopic = DescribeLogDirsResponse["results"][number]["topics"][number];

export const describeLogDirsApi = serveApi(DESCRIBE_LOG_DIRS, describeLogDirs);

async function describeLogDirs(
	{ topics }: DescribeLogDirsRequest,
	exchange: Exchange,
): Promise<DescribeLogDirsResponse> {
	const { storage } = exchange.host;
	const logDir = logDirOf(storage.dataDir);
	if (!exchange.allows("cluster", CLUSTER_NAME)) {
		return { errorCode: CODES.CLUSTER_AUTHORIZATION_FAILED.code, results: [] };
	}
	if (topics !== null) checkNamedCount(topics.length);
	try {
		const sizes = await sizesOf(topics, exchange);
		// Memory has no volume: what it says would be no number to plan with.
		const space = storage.dataDir === null ? {} : await storage.volumeSpace();
		const result = { errorCode: CODES.NONE.code, logDir, topics: sizes, ...space };
		return { errorCode: CODES.NONE.code, results: [result] };
	} catch (error) {
		const { errorCode } = reportedFailure(error, exchange);
		return { errorCode: CODES.NONE.code, results: [{ errorCode, logDir, topics: [] }] };
	}
}

/** The sizes of the partitions that are asked for; null: of all. */
async function sizesOf(
	asked: DescribeLogDirsRequest["topics"],
	{ host }: Exchange,
): Promise<ResponseTopic[]> {
	const { catalogue, clock } = host;
	const names =
		asked === null
			? catalogue.list().map(({ name }) => [name, null] as const)
			: partitionsByTopic(asked.map(({ topic, partitions }) => ({ name: topic, partitions })));
	const turns = new Turns(clock);
	const topics: ResponseTopic[] = [];
	for (const [name, partitions] of names) {
		const topic = catalogue.get(name);
		const sizes = topic === undefined ? [] : partitionSizes(topic, partitions, host.storage);
		if (sizes.length > 0) topics.push({ name, partitions: sizes });
		await turns.pause();
	}
	return topics;
}

function partitionSizes(
	topic: Topic,
	asked: ReadonlySet<number> | null,
	storage: Storage,
): ResponseTopic["partitions"][number][] {
	const sizes: ResponseTopic["partitions"][number][] = [];
	for (const [partitionIndex, partitionSize] of storage.logBytes(topic.handle).entries()) {
		if (asked !== null && !asked.has(partitionIndex)) continue;
		sizes.push({ partitionIndex, partitionSize, offsetLag: 0, isFutureKey: false });
	}
	return sizes;
}
