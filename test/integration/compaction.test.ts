/**
 * Compaction beside a real Apache Kafka: the same batches, as a client of all codecs with and
 * without idempotence has made them, in both logs; both are cleaned, and the same records must be
 * left, under the same offsets, in batches of the same bounds. A second pass takes the tombstones.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";

import { atEndOfSuite } from "../broker-process.ts";
import { pick } from "../kafka/pick.ts";
import { MISSING_KAFKA_JAVA, RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";
import { recordBatch, records } from "../record-batch.ts";
import {
	type AckLine,
	CODECS,
	CONFLUENT,
	type ProduceLine,
	type RecordLine,
	runProgram,
} from "./client-programs.ts";
import type { Session, TopicNames } from "./differential/session.ts";
import { endsOf, type ServedBatch, servedBatches, startSides } from "./differential/sides.ts";

const BACKOFF_MS = 200;
const SETTLE_MS_MAX = 180_000;
/** As long unchanged, a log has been cleaned: both look for work more often. */
const STABLE_MS = 10 * BACKOFF_MS;
const TOMBSTONES_STAY_MS = 1_500;

/** The least that Kafka takes. */
const SEGMENT_BYTES = 1_048_576;
const KEYS = 50;
const ROUNDS = 14;
const VALUE_BYTES = 9_000;
/** Half a segment and more, so that two of them begin a new one. */
const CLOSING_BYTES = 700_000;

/** Nothing is cleaned before `min.cleanable.dirty.ratio` is lowered. */
const CONFIGS = {
	"cleanup.policy": "compact",
	"segment.bytes": `${SEGMENT_BYTES}`,
	"min.cleanable.dirty.ratio": "1",
	"delete.retention.ms": `${TOMBSTONES_STAY_MS}`,
};

const atEnd = atEndOfSuite();
let sides: Awaited<ReturnType<typeof startSides>> = null;

beforeAll(async () => {
	sides = await startSides(atEnd, {
		settings: [`log.cleaner.backoff.ms=${BACKOFF_MS}`, "log.initial.task.delay.ms=100"],
		flags: ["--log-cleaner-backoff-ms", `${BACKOFF_MS}`],
	});
});

/** Numbers below a limit, the same in every run. */
function random(seed: number): (limit: number) => number {
	let state = seed;
	return (limit) => {
		// The generator of Park and Miller.
		state = (state * 48_271) % 2_147_483_647;
		return state % limit;
	};
}

/** Every key again and again, with all codecs, and tombstones that come last or do not. */
function inputLines(): ProduceLine[] {
	const next = random(7);
	const firstMs = Date.now() - 3_600_000;
	const lines = Array.from({ length: KEYS * ROUNDS }, (_, index): ProduceLine => {
		const bytes = Buffer.from(Array.from({ length: 1 + next(VALUE_BYTES) }, () => next(64)));
		return {
			codec: CODECS[next(CODECS.length)] as (typeof CODECS)[number],
			partition: 0,
			key: Buffer.from(`key ${next(KEYS)}`).toString("base64"),
			value: next(10) === 0 ? null : bytes.toString("base64"),
			timestamp: firstMs + index,
			headers: next(5) === 0 ? [["round", Buffer.from(`${index}`).toString("base64")]] : [],
		};
	});
	// A client sends what has one codec in order: these have their tombstones last.
	for (const codec of CODECS) {
		const key = Buffer.from(`gone ${codec}`).toString("base64");
		const shared = { codec, partition: 0, key, timestamp: firstMs, headers: [] };
		lines.push({ ...shared, value: key }, { ...shared, value: null });
	}
	return lines;
}

/** Batches as a client makes them: produced to a topic that keeps all, and taken from there. */
async function clientBatches(
	commandLine: string[],
	kafka: Session,
	bootstrap: string,
	isIdempotent: boolean,
): Promise<Uint8Array[]> {
	const source = await kafka.topic(`source-${isIdempotent}`);
	const options = { bootstrap, topic: source.name, idempotent: isIdempotent };
	const lines = inputLines();
	const acks = await runProgram<AckLine>(commandLine, "produce", options, lines);
	expect(acks.filter(({ error }) => error !== undefined)).toEqual([]);
	const batches = await servedBatches(kafka, source, 0);
	expect(batches.reduce((sum, { recordCount }) => sum + recordCount, 0)).toBe(lines.length);
	// Offsets count from 0 in what a client sends.
	for (const { bytes } of batches) bytes.writeBigInt64BE(0n);
	return batches.map(({ bytes }) => bytes);
}

/** Batches that fill the active segment, so that all before them is open to compaction. */
function closingBatches(kind: string): Uint8Array[] {
	return [0, 1].map((index) => {
		const values = [Buffer.alloc(CLOSING_BYTES, `${kind} ${index}`)];
		const body = records(values, undefined, [Buffer.from(`closing ${kind} ${index}`)]);
		return recordBatch(values, { body });
	});
}

async function setDirtyRatio(session: Session, { name }: TopicNames, value: string): Promise<void> {
	const configs = [{ name: "min.cleanable.dirty.ratio", configOperation: 0, value }];
	const resources = [{ resourceType: 2, resourceName: name, configs }];
	const asked = { resources, validateOnly: false };
	const answer = await session.prepare("IncrementalAlterConfigs", 1, asked);
	expect(pick(answer, "responses", 0).errorCode).toBe(0);
}

/** The bounds of the batches that have records: where the others are is each broker's own. */
const boundsOf = (batches: readonly ServedBatch[]): string[] =>
	batches
		.filter(({ recordCount }) => recordCount > 0)
		.map(({ baseOffset, lastOffset, recordCount }) => `${baseOffset}-${lastOffset} ${recordCount}`);

interface CleanedLog {
	readonly bounds: string[];
	readonly records: RecordLine[];
}

/** One side of the comparison. */
class Side {
	readonly #session: Session;
	readonly #bootstrap: string;
	readonly #commandLine: string[];
	#topic: TopicNames = { name: "", topicId: "" };

	constructor(session: Session, bootstrap: string, commandLine: string[]) {
		this.#session = session;
		this.#bootstrap = bootstrap;
		this.#commandLine = commandLine;
	}

	async create(name: string): Promise<void> {
		this.#topic = await this.#session.topic(name, 1, CONFIGS);
	}

	append(batches: readonly Uint8Array[]): Promise<void> {
		return this.#session.append(this.#topic, batches);
	}

	/** The bounds of what is there. */
	async bounds(): Promise<string[]> {
		return boundsOf(await servedBatches(this.#session, this.#topic, 0));
	}

	/** Has everything cleaned that can be, or no more. */
	clean(isOn: boolean): Promise<void> {
		return setDirtyRatio(this.#session, this.#topic, isOn ? "0.01" : "1");
	}

	/** What is there, which has these bounds. */
	async log(bounds: string[]): Promise<CleanedLog> {
		expect((await endsOf(this.#session, this.#topic)).start).toBe(0);
		const count = bounds.reduce((sum, bound) => sum + Number(bound.split(" ")[1]), 0);
		const served = await runProgram<RecordLine>(this.#commandLine, "consume", {
			...{ bootstrap: this.#bootstrap, topic: this.#topic.name, partitions: [0] },
			...{ start: "earliest", count, timeoutMs: 120_000 },
		});
		expect(served).toHaveLength(count);
		return { bounds, records: served };
	}
}

/**
 * What both have once everything that can be cleaned has been: each has less than before, both have
 * the same, and it stays so; or whatever they have when that does not come.
 */
async function cleanedLogs(both: readonly Side[]): Promise<CleanedLog[]> {
	const all = <Result>(ask: (side: Side) => Promise<Result>) => Promise.all(both.map(ask));
	const textsNow = async () => (await all((side) => side.bounds())).map((bounds) => bounds.join());
	const before = await textsNow();
	await all((side) => side.clean(true));
	let latest = before;
	let changedMs = Date.now();
	for (const deadlineMs = Date.now() + SETTLE_MS_MAX; Date.now() < deadlineMs; ) {
		await sleep(BACKOFF_MS);
		const now = await textsNow();
		if (now.join("; ") !== latest.join("; ")) [latest, changedMs] = [now, Date.now()];
		const isCleaned = now.every((text, index) => text !== before[index] && text === now[0]);
		if (isCleaned && Date.now() - changedMs > STABLE_MS) break;
	}
	await all((side) => side.clean(false));
	return all(async (side) => side.log(await side.bounds()));
}

/** Records as lines that can be read where they differ. */
const textsOf = ({ records: left }: CleanedLog): string[] =>
	left.map(({ offset, timestamp, key, value, headers }) => {
		const hash = createHash("sha256")
			.update(value ?? "")
			.digest("hex");
		const content = value === null ? "tombstone" : hash;
		return [offset, timestamp, key, content, ...headers].join(" ");
	});

/** The last record of each key is there, and of those that can be cleaned no other. */
function expectLastOfEachKey({ records: left }: CleanedLog, all: readonly RecordLine[]): void {
	const lasts = new Map(all.map((record) => [record.key, record.offset]));
	const kept = new Set(left.map(({ offset }) => offset));
	expect([...lasts.values()].filter((offset) => !kept.has(offset))).toEqual([]);
}

test.for([
	["with idempotence", true],
	["without idempotence", false],
] as const)("the same is left, %s", async ([, isIdempotent], context) => {
	if (!isIdempotent && !RUNS_LONG_TESTS) context.skip(TOO_LONG);
	const { kafka, millrace, bootstraps } = sides ?? context.skip(MISSING_KAFKA_JAVA);
	const commandLine = CONFLUENT.commandLine() ?? context.skip(CONFLUENT.missing);
	const batches = await clientBatches(commandLine, kafka, bootstraps.kafka, isIdempotent);
	const theirs = new Side(kafka, bootstraps.kafka, commandLine);
	const ours = new Side(millrace, bootstraps.millrace, commandLine);
	const first = [...batches, ...closingBatches("first")];
	const second = [...closingBatches("second"), ...closingBatches("third")];
	for (const side of [theirs, ours]) {
		await side.create(`compacted-${isIdempotent}`);
		await side.append(first);
	}
	const [their, our] = (await cleanedLogs([theirs, ours])) as [CleanedLog, CleanedLog];
	expect(our.bounds).toEqual(their.bounds);
	expect(textsOf(our)).toEqual(textsOf(their));
	const sourceCount = inputLines().length;
	expect(our.records.length).toBeLessThan(sourceCount / 2);
	const tombstones = our.records.filter(({ value }) => value === null);
	expect(tombstones.length).toBeGreaterThanOrEqual(CODECS.length);

	// Once their time is over, the next pass takes them.
	await sleep(TOMBSTONES_STAY_MS);
	for (const side of [theirs, ours]) await side.append(second);
	const [theirSecond, ourSecond] = (await cleanedLogs([theirs, ours])) as [CleanedLog, CleanedLog];
	expect(ourSecond.bounds).toEqual(theirSecond.bounds);
	expect(textsOf(ourSecond)).toEqual(textsOf(theirSecond));
	const offsets = new Set(ourSecond.records.map(({ offset }) => offset));
	const gone = tombstones.filter(({ offset }) => !offsets.has(offset));
	process.stdout.write(
		`${sourceCount} records, ${our.records.length} left with ${tombstones.length} tombstones, ` +
			`${ourSecond.records.length} after the second pass, ${gone.length} tombstones gone\n`,
	);
	expect(gone.length).toBe(tombstones.length);
	expectLastOfEachKey(
		ourSecond,
		our.records.filter(({ value }) => value !== null),
	);
});
