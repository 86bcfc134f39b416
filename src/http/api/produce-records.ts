/**
 * POST /v1/topics/{topic}/records: stores records, and answers when they are as durable as was
 * asked. The body becomes a produce frame, which the core takes as those over WebSocket.
 */
import { checkTopic } from "../../calls/access.ts";
import { Arguments, invalid, isMap } from "../../calls/arguments.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { CODES } from "../../protocol/codes.ts";
import {
	ACK,
	BODY_FORMAT,
	OPERATION,
	PARTITION_BY_KEY,
	SEQUENCE_NONE,
} from "../../protocol/operations.ts";
import type { DecodedMap } from "../../protocol/reader.ts";
import { FrameWriter } from "../../protocol/writer.ts";
import {
	PLAN_APPEND_TIME_MS,
	PLAN_BASE_OFFSET,
	PLAN_CODE,
	PLAN_RESULT_PARTITION,
	PLAN_SPREAD,
	PLAN_STRIDE,
	SPREAD_STRIDE,
} from "../../storage/layout.ts";
import type { LiveTopic } from "../../topics/live-topics.ts";
import { admit, countRecords } from "../../websocket/handlers/produce.ts";
import { decoderOf, type Encoding, type ValueDecoder } from "./encoding.ts";
import type { ApiCaller } from "./host.ts";
import type { Media } from "./media.ts";
import type { Parameters, ParameterValue } from "./parameters.ts";
import { ProblemError } from "./problem.ts";

export const PRODUCE_PARAMETERS: Parameters = {
	encoding: {
		type: "string",
		description: "What keys, values and headers are in JSON; there is no default.",
		choices: ["text", "base64"],
	},
	durability: {
		type: "string",
		description: "Answer when the records are so durable; default: as the topic promises.",
		choices: ["written", "flushed"],
	},
};

/** Records that go to one partition, or where the broker puts them. */
interface Entry {
	readonly partition: number;
	readonly records: Arguments[];
}

/** What became of one entry, or of the part of it that went to one partition. */
interface Part {
	readonly code: number;
	readonly partition: number;
	readonly baseOffset: number;
	readonly count: number;
}

interface Outcome {
	readonly parts: readonly Part[];
	readonly appendTimeMs: number;
	readonly isFlushed: boolean;
}

const writer = new FrameWriter();

export async function produceRecords(
	caller: ApiCaller,
	given: Readonly<Record<string, ParameterValue>>,
	body: DecodedMap,
	media: Media,
): Promise<AnswerMap> {
	const name = given.topic as string;
	checkTopic(caller, OPERATION.produce, name);
	const topic = caller.aliases.existing(name);
	const decode = decoderOf(media, given.encoding as Encoding | undefined);
	const entries = entriesOf(body);
	const durability = given.durability as "written" | "flushed" | undefined;
	const frame = writeFrame(name, entries, durability, decode);
	const outcome = await append(caller, topic, frame, entries);
	const stored = outcome.parts.filter(({ code }) => code === CODES.NONE.code).map(storedPart);
	const refused = outcome.parts.filter(({ code }) => code !== CODES.NONE.code);
	const [first] = refused;
	if (first !== undefined) {
		const { code, partition } = first;
		const details = { topic: name, ...(partition < 0 ? {} : { partition }) };
		const error = MillraceError.fromNumber(code, "", details);
		throw new ProblemError(error, undefined, { stored, refused: refused.map(refusedPart) });
	}
	return {
		topic: name,
		durability: outcome.isFlushed ? "flushed" : "written",
		append_time_ms: outcome.appendTimeMs,
		stored,
	};
}

function storedPart({ partition, baseOffset, count }: Part): AnswerMap {
	return { partition, base_offset: baseOffset, count };
}

function refusedPart({ partition, count, code }: Part): AnswerMap {
	const { code: name, message } = MillraceError.fromNumber(code);
	return { partition: partition < 0 ? null : partition, count, code, name, message };
}

/** The records by the partitions that they name, in their order. */
function entriesOf(body: DecodedMap): Entry[] {
	const { records } = body;
	if (!Array.isArray(records)) return invalid("records", "is not an array");
	if (records.length === 0) return invalid("records", "is empty");
	if (records.length > LIMITS.httpRecordsMax) {
		return invalid("records", `has more than ${LIMITS.httpRecordsMax} elements`);
	}
	const byPartition = new Map<number, Entry>();
	for (const record of records) {
		if (!isMap(record)) return invalid("records", "has what is no map");
		const fields = new Arguments(record);
		const partition =
			fields.optionalInteger("partition", 0, LIMITS.topicPartitionsMax) ?? PARTITION_BY_KEY;
		const entry = byPartition.get(partition) ?? { partition, records: [] };
		byPartition.set(partition, entry);
		entry.records.push(fields);
	}
	if (byPartition.size > LIMITS.produceEntriesMax) {
		return invalid("records", `name more than ${LIMITS.produceEntriesMax} partitions`);
	}
	return [...byPartition.values()];
}

/** `[3, id, ack, [[topic, partition, base_sequence, format, body], ...]]`, until the next one. */
function writeFrame(
	topic: string,
	entries: readonly Entry[],
	durability: "written" | "flushed" | undefined,
	decode: ValueDecoder,
): Uint8Array {
	writer.reset().array(4).integer(OPERATION.produce).integer(0);
	writer.value(durability === undefined ? null : ACK[durability]).array(entries.length);
	for (const { partition, records } of entries) {
		writer.array(5).string(topic).integer(partition).integer(SEQUENCE_NONE);
		writer.integer(BODY_FORMAT.bytes).array(records.length);
		for (const record of records) writeRecord(record, decode);
	}
	return writer.finish();
}

function writeRecord(record: Arguments, decode: ValueDecoder): void {
	writer.array(4);
	writer.value(decode(record.value("value"), "value"));
	writer.value(decode(record.value("key"), "key"));
	writer.value(record.optionalInteger("timestamp_ms", 0, Number.MAX_SAFE_INTEGER) ?? null);
	const headers = record.value("headers") ?? [];
	if (!Array.isArray(headers)) invalid("headers", "is not an array");
	else {
		writer.array(headers.length);
		for (const header of headers) {
			if (!Array.isArray(header) || header.length !== 2) invalid("headers", "are no pairs");
			const [name, value] = header as unknown[] as [DecodedMap[string], DecodedMap[string]];
			if (typeof name !== "string") invalid("headers", "have a name that is no string");
			writer
				.array(2)
				.value(name)
				.value(bytesOf(decode(value, "a header's value")));
		}
	}
}

/** Values of headers are binaries in frames. */
function bytesOf(value: string | Uint8Array | null): Uint8Array | null {
	return typeof value === "string" ? Buffer.from(value) : value;
}

function append(
	caller: ApiCaller,
	topic: LiveTopic,
	frame: Uint8Array,
	entries: readonly Entry[],
): Promise<Outcome> {
	const { storage } = caller.host;
	const { ack, entryCount } = storage.decodeProduce(frame);
	const { plan } = storage;
	for (let row = 0; row < entryCount * PLAN_STRIDE; row += PLAN_STRIDE) {
		plan[row + PLAN_CODE] = admit(caller, topic, plan, row);
	}
	const token = storage.append(frame, entryCount, ack, -1, -1, storage.nextConnection());
	countRecords(caller, frame, entryCount);
	const { isElsewhere } = storage;
	// The plan is used again by the next frame.
	const known = isElsewhere ? undefined : outcomeOf(caller, entries);
	if (token === 0) return Promise.resolve(known ?? outcomeOf(caller, entries));
	return new Promise((resolve, reject) => {
		storage.onToken(token, (code) => {
			if (isElsewhere) storage.takeAppended(token);
			const taken = known ?? outcomeOf(caller, entries);
			if (code === CODES.NONE.code) resolve(taken);
			else reject(MillraceError.fromNumber(code, "", { topic: topic.current.name }));
		});
	});
}

/** What the plan says of the entries of the last frame. */
function outcomeOf({ host: { storage } }: ApiCaller, entries: readonly Entry[]): Outcome {
	const { plan, spread } = storage;
	const parts: Part[] = [];
	let appendTimeMs = -1;
	let spreadRow = 0;
	entries.forEach(({ records }, index) => {
		const row = index * PLAN_STRIDE;
		const spreadCount = plan[row + PLAN_SPREAD] as number;
		appendTimeMs = Math.max(appendTimeMs, plan[row + PLAN_APPEND_TIME_MS] as number);
		if (spreadCount === 0) {
			parts.push({
				code: plan[row + PLAN_CODE] as number,
				partition: plan[row + PLAN_RESULT_PARTITION] as number,
				baseOffset: plan[row + PLAN_BASE_OFFSET] as number,
				count: records.length,
			});
		}
		for (let left = spreadCount; left > 0; left--, spreadRow += SPREAD_STRIDE) {
			const [, code = -1, partition = -1, baseOffset = -1, count = 0] = spread.subarray(
				spreadRow,
				spreadRow + SPREAD_STRIDE,
			);
			parts.push({ code, partition, baseOffset, count });
		}
	});
	return { parts, appendTimeMs, isFlushed: storage.reached === ACK.flushed };
}
