/** A real Apache Kafka and a Millrace that are asked the same, and what is then in their logs. */
import { connect } from "../../../src/client/index.ts";
import { type AtEnd, BrokerProcess } from "../../broker-process.ts";
import type { Fields } from "../../kafka/client-codec.ts";
import { pick } from "../../kafka/pick.ts";
import { startApacheKafka } from "../apache-kafka.ts";
import { Session, type TopicNames } from "./session.ts";

export interface Sides {
	readonly kafka: Session;
	readonly millrace: Session;
}

/** A batch as it is served. */
export interface ServedBatch {
	readonly baseOffset: number;
	readonly lastOffset: number;
	/** By the header; none in what compaction keeps for the batch's producer alone. */
	readonly recordCount: number;
	readonly bytes: Buffer;
}

const LENGTH_AT = 8;
const LENGTH_END = 12;
const LAST_OFFSET_DELTA_AT = 23;
const RECORD_COUNT_AT = 57;
const FETCH_BYTES_MAX = 16_777_216;
const [EARLIEST, LATEST] = [-2, -1];

/**
 * Both, with further settings of Kafka's and flags of Millrace's; null where there is no Kafka.
 */
export async function startSides(
	atEnd: AtEnd,
	{ settings, flags }: { readonly settings: readonly string[]; readonly flags: readonly string[] },
): Promise<(Sides & { readonly bootstraps: { kafka: string; millrace: string } }) | null> {
	const bootstrap = await startApacheKafka(atEnd, settings);
	if (bootstrap === null) return null;
	const kafka: Session = new Session(bootstrap, (...topic) => createKafkaTopic(kafka, ...topic));
	const broker = await BrokerProcess.start({ flags, atEnd });
	const client = await connect(broker.url);
	const millrace = new Session(broker.kafka as string, async (name, partitions, configs) => {
		await client.topics.create(name, { partitions, configs });
	});
	atEnd(async () => {
		await Promise.all([kafka.close(), millrace.close()]);
		await client.close();
	});
	return { kafka, millrace, bootstraps: { kafka: bootstrap, millrace: broker.kafka as string } };
}

export async function createKafkaTopic(
	session: Session,
	name: string,
	numPartitions: number,
	configs: Readonly<Record<string, string>>,
): Promise<void> {
	const entries = Object.entries(configs).map(([key, value]) => ({ name: key, value }));
	const topic = { name, numPartitions, replicationFactor: 1, assignments: [], configs: entries };
	const { topics } = await session.prepare("CreateTopics", 5, {
		topics: [topic],
		timeoutMs: 120_000,
	});
	const { errorCode } = (topics as readonly Fields[])[0] as Fields;
	if (errorCode !== 0) throw new Error(`${name} was not created: error ${errorCode}`);
}

/** Where the only partition of a topic starts and ends. */
export async function endsOf(session: Session, topic: TopicNames) {
	const ends: number[] = [];
	for (const timestamp of [EARLIEST, LATEST]) {
		const topics = [{ name: topic.name, partitions: [{ partitionIndex: 0, timestamp }] }];
		const answer = await session.prepare("ListOffsets", 4, { replicaId: -1, topics });
		const { errorCode, offset } = pick(answer, "topics", 0, "partitions", 0);
		if (errorCode !== 0) throw new Error(`${topic.name} does not tell its ends: ${errorCode}`);
		ends.push(Number(offset));
	}
	const [start, end] = ends as [number, number];
	return { start, end };
}

/** Every batch of the only partition of a topic, from an offset to the end. */
export async function servedBatches(
	session: Session,
	topic: TopicNames,
	from: number,
): Promise<ServedBatch[]> {
	const batches: ServedBatch[] = [];
	for (let next = from; ; ) {
		const served = batchesIn(await fetchFrom(session, topic, next));
		// The first may begin below what was asked for; of the last there may be a part.
		const fresh = served.filter(({ lastOffset }) => lastOffset >= next);
		if (fresh.length === 0) return batches;
		batches.push(...fresh);
		next = (fresh.at(-1) as ServedBatch).lastOffset + 1;
	}
}

async function fetchFrom(session: Session, topic: TopicNames, fetchOffset: number) {
	const partition = { partition: 0, fetchOffset, currentLeaderEpoch: -1 };
	const partitions = [{ ...partition, partitionMaxBytes: FETCH_BYTES_MAX }];
	const answer = await session.prepare("Fetch", 11, {
		...{ replicaId: -1, maxWaitMs: 0, minBytes: 0, maxBytes: FETCH_BYTES_MAX },
		...{ isolationLevel: 0, sessionId: 0, sessionEpoch: -1 },
		topics: [{ topic: topic.name, partitions }],
	});
	const { errorCode, records } = pick(answer, "responses", 0, "partitions", 0);
	if (errorCode !== 0) throw new Error(`${topic.name} from ${fetchOffset}: error ${errorCode}`);
	return Buffer.from((records as Uint8Array | null) ?? []);
}

function batchesIn(served: Buffer): ServedBatch[] {
	const batches: ServedBatch[] = [];
	for (let at = 0; at + RECORD_COUNT_AT + 4 <= served.length; ) {
		const length = LENGTH_END + served.readInt32BE(at + LENGTH_AT);
		if (at + length > served.length) break;
		const bytes = served.subarray(at, at + length);
		const baseOffset = Number(bytes.readBigInt64BE());
		batches.push({
			baseOffset,
			lastOffset: baseOffset + bytes.readInt32BE(LAST_OFFSET_DELTA_AT),
			recordCount: bytes.readInt32BE(RECORD_COUNT_AT),
			bytes,
		});
		at += length;
	}
	return batches;
}
