/**
 * The checker itself: histories that a model of a log makes have no violation, and each kind of
 * violation is found where it is put into such a history.
 */
import { describe, expect, test } from "vitest";
import { seed } from "../../seed.ts";
import {
	type Commit,
	type FinalLog,
	History,
	type Partition,
	type RecordName,
	recordName,
	recordValue,
	type Session,
} from "./history.ts";
import { describeViolations, VIOLATIONS, violationsIn } from "./violations.ts";

const SEEDS = 100;
/** Histories that each mutation is made in. */
const MUTATED_SEEDS = 10;
const EVENTS = 600;
const WHERE: Partition = { topic: "orders", partition: 0 };
const PRODUCERS = ["idempotent", "careful", "plain"] as const;
const GROUP = "billing";
const READER = "reader";

type Changed<Kind> = { -readonly [Field in keyof Kind]: Kind[Field] };
type StoredRecord = Changed<RecordName> & { offset: number };

/** Numbers below a limit that one seed always gives in the same order. */
function random(seed: number): (limit: number) => number {
	let state = (seed % 2_147_483_646) + 1;
	return (limit) => {
		// The generator of Park and Miller.
		state = (state * 48_271) % 2_147_483_647;
		return state % limit;
	};
}

/** A partition that keeps its promises, and clients of it that act at random. */
class Model {
	readonly history = new History();
	readonly #next: (limit: number) => number;
	readonly #log: StoredRecord[] = [];
	/** By producer: its number, and whether the record that it waits for is stored, and where. */
	readonly #waiting = new Map<string, { number: number; offset: number | null }>();
	#reader: { session: Session; offset: number };
	#member: { session: Session; offset: number };
	#commit: Commit | undefined;
	#committed = 0;

	constructor(seed: number) {
		this.#next = random(seed);
		for (const name of PRODUCERS) this.history.producer(name, name !== "plain");
		this.#reader = { session: this.history.began(READER, null, WHERE), offset: 0 };
		this.#member = { session: this.history.began("member 0", GROUP, WHERE), offset: 0 };
	}

	run(): History {
		for (let event = 0; event < EVENTS; event++) this.#act();
		while (this.#reader.offset < this.#log.length) this.#read(this.#reader);
		while (this.#member.offset < this.#log.length) this.#read(this.#member);
		this.#finishCommit();
		this.#rejoin(EVENTS);
		if (this.#member.offset < this.#log.length) this.#read(this.#member);
		const { history } = this;
		const ends = { logStart: 0, end: this.#log.length };
		history.finalLogs.push({ ...WHERE, ...ends, records: this.#log });
		history.finalCommits.push({ group: GROUP, ...WHERE, offset: this.#committed });
		for (const reader of [READER, GROUP]) history.drained.push({ reader, topic: WHERE.topic });
		return history;
	}

	#act(): void {
		const choice = this.#next(100);
		if (choice < 60) this.#produce(PRODUCERS[this.#next(PRODUCERS.length)] as string);
		else if (choice < 80) this.#read(this.#reader);
		else if (choice < 90) this.#read(this.#member);
		else if (choice < 93) this.history.endIs(WHERE, this.#log.length, this.history.step());
		else if (choice < 98) this.#goOnCommitting();
		else this.#rejoin(choice);
	}

	/** One step on with the record that a producer is at: sent, perhaps stored, acknowledged. */
	#produce(producer: string): void {
		const { number, offset } = this.#waiting.get(producer) ?? { number: 0, offset: null };
		const name = { producer, number };
		const isSent = this.#waiting.has(producer);
		if (!isSent) this.history.sent(name, WHERE);
		this.#waiting.set(producer, { number, offset });
		if (!isSent) return;
		if (offset === null) {
			this.#store(name);
		} else if (producer !== "plain" || this.#next(10) > 0) {
			this.history.acked(name, WHERE, offset);
			// The next is sent at once, as it is by those who wait for acks.
			const next = { producer, number: number + 1 };
			this.history.sent(next, WHERE);
			this.#waiting.set(producer, { number: next.number, offset: null });
		} else {
			// The ack got lost on its way: once more.
			this.history.sent(name, WHERE);
			this.#store(name);
		}
	}

	#store(name: RecordName): void {
		this.#waiting.set(name.producer, { number: name.number, offset: this.#log.length });
		this.#log.push({ ...name, offset: this.#log.length });
	}

	#read(reader: { session: Session; offset: number }): void {
		const record = this.#log[reader.offset];
		if (record === undefined) return;
		this.history.saw(reader.session, reader.offset, recordValue(record));
		reader.offset += 1;
	}

	#goOnCommitting(): void {
		if (this.#commit !== undefined) this.#finishCommit();
		else if (this.#member.offset > this.#committed) {
			this.#commit = this.history.committing(GROUP, WHERE, this.#member.offset);
		}
	}

	#finishCommit(): void {
		if (this.#commit === undefined) return;
		this.#committed = this.#commit.offset;
		this.history.committed(this.#commit);
		this.#commit = undefined;
	}

	/** Another member goes on where the group is; whether a commit on its way counts is open. */
	#rejoin(number: number): void {
		if (this.#commit !== undefined && this.#next(2) === 0) this.#committed = this.#commit.offset;
		this.#commit = undefined;
		const session = this.history.began(`member ${number}`, GROUP, WHERE);
		this.#member = { session, offset: this.#committed };
	}
}

describe("a log that keeps its promises", () => {
	test(`has no violation, seeds from ${seed}`, () => {
		for (let each = seed; each < seed + SEEDS; each++) {
			const history = new Model(each).run();
			expect(history.acks.length).toBeGreaterThan(50);
			expect(history.sightings.length).toBeGreaterThan(50);
			expect(history.commits.length).toBeGreaterThan(0);
			expect(describeViolations(violationsIn(history)), `seed ${each}`).toBe("");
		}
	});
});

/** What is done to a history of the model, and what must be found then. */
interface Mutation {
	readonly name: string;
	readonly finds: keyof typeof VIOLATIONS;
	/** The records of the log, to be changed. */
	mutate(history: History, records: StoredRecord[]): void;
}

/** One from the middle, to be changed. */
function middle<Item>(items: readonly Item[], isMeant: (item: Item) => boolean = () => true) {
	const meant = items.filter(isMeant);
	return meant[meant.length >> 1] as Changed<Item>;
}

const isOf = (name: string) => (record: RecordName) => record.producer === name;
const numberOf = ({ number }: RecordName): number => number;
const isOfReader = ({ session }: { session: Session }) => session.reader === READER;
const isOfGroup = ({ group }: Session) => group !== null;

/** A session that begins right where its group has committed, as far as clients can know. */
function sureSession({ sessions, sightings, commits }: History): Session {
	return middle(sessions.filter(isOfGroup), (session) => {
		const first = sightings.find((each) => each.session === session);
		const acked = commits.filter(({ ackedStep = session.step }) => ackedStep < session.step);
		const asked = commits.filter(({ askedStep }) => askedStep < (first?.step ?? 0));
		const highest = (of: readonly Commit[]) => Math.max(0, ...of.map(({ offset }) => offset));
		return first !== undefined && first.offset > 0 && highest(acked) === highest(asked);
	});
}

function moveSession({ sightings }: History, moved: Session, by: number): void {
	for (const sighting of sightings) {
		if (sighting.session === moved) (sighting as Changed<typeof sighting>).offset += by;
	}
}

/** Renumbers, as if what was taken out had never been there. */
function close(records: StoredRecord[]): void {
	for (const [offset, record] of records.entries()) record.offset = offset;
}

const MUTATIONS: Mutation[] = [
	{
		name: "an acknowledged record that is not there",
		finds: "lost",
		mutate: ({ acks }, records) => records.splice(middle(acks).offset, 1),
	},
	{
		name: "an acknowledged record that moved",
		finds: "lost",
		mutate(_, records) {
			records.splice(middle(records).offset, 1);
			close(records);
		},
	},
	{
		name: "a record that was acknowledged without an offset, and is not there",
		finds: "lost",
		mutate(history, records) {
			const ack = middle(history.acks, isOf("careful"));
			records.splice(ack.offset, 1);
			ack.offset = -1;
		},
	},
	{
		name: "the end of the log cut off",
		finds: "past the end",
		mutate(history, records) {
			records.splice(-20);
			(history.finalLogs[0] as Changed<FinalLog>).end = records.length;
		},
	},
	{
		name: "the end of the log cut off, which the broker had told of",
		finds: "end too low",
		mutate(history, records) {
			history.endIs(WHERE, records.length, history.step());
			(history.finalLogs[0] as Changed<FinalLog>).end -= 1;
		},
	},
	{
		name: "an answer below what was acknowledged before it was asked for",
		finds: "end too low",
		mutate: (history) => history.endIs(WHERE, middle(history.acks).offset, history.step()),
	},
	{
		name: "a record of an idempotent producer twice",
		finds: "twice",
		mutate(_, records) {
			records.push({ ...middle(records, isOf("idempotent")), offset: records.length });
		},
	},
	{
		name: "a record of a plain producer more often than it was sent",
		finds: "twice",
		mutate(history, records) {
			const { producer, number } = middle(records, isOf("plain"));
			const isIt = (each: RecordName) => each.producer === producer && each.number === number;
			const attempts = history.sends.filter(isIt).length;
			for (let copy = 0; copy < attempts; copy++) {
				records.push({ producer, number, offset: records.length });
			}
		},
	},
	{
		name: "a record that nobody has sent",
		finds: "made up",
		mutate: (_, records) =>
			records.push({ ...recordName(Buffer.from("?")), offset: records.length }),
	},
	{
		name: "a record that was seen before it was sent",
		finds: "made up",
		mutate(history) {
			const { producer, number, session, offset } = middle(history.sightings, isOfReader);
			history.sightings.unshift({ producer, number, session, offset, step: 1 });
		},
	},
	{
		name: "a byte of a value changed",
		finds: "made up",
		mutate(history) {
			const sighting = middle(history.sightings, isOfReader);
			const value = recordValue(sighting);
			const last = value.length - 1;
			value.writeUInt8(value.readUInt8(last) ^ 1, last);
			Object.assign(sighting, recordName(value));
		},
	},
	{
		name: "two records of a producer exchanged",
		finds: "out of order",
		mutate(history, records) {
			const later = middle(records, isOf("idempotent"));
			const earlier = records.find(
				(each) => each.producer === "idempotent" && each.number === later.number - 1,
			) as StoredRecord;
			[later.number, earlier.number] = [earlier.number, later.number];
			history.acks.splice(0);
			history.sightings.splice(0);
		},
	},
	{
		name: "two producers' records exchanged though the one waited for the other",
		finds: "overtaken",
		mutate(history) {
			const later = middle(history.acks, isOf("careful"));
			const sentStep = history.sends.find(
				(each) => each.producer === "careful" && each.number === later.number,
			)?.step as number;
			const earlier = history.acks.filter(({ step }) => step < sentStep).at(-1);
			const offset = (earlier as { offset: number }).offset;
			(earlier as Changed<{ offset: number }>).offset = later.offset;
			later.offset = offset;
		},
	},
	{
		name: "an offset that a reader has seen another record at",
		finds: "reused",
		mutate(history) {
			const sighting = middle(history.sightings, isOfReader);
			Object.assign(sighting, { producer: "plain", number: numberOf(sighting) + 1_000 });
		},
	},
	{
		name: "an offset acknowledged for two records",
		finds: "reused",
		mutate(history) {
			const ack = middle(history.acks);
			history.acks.push({ ...ack, number: ack.number + 1 });
		},
	},
	{
		name: "a record that was seen, not acknowledged, and is not there",
		finds: "seen and gone",
		mutate(history, records) {
			const { offset } = middle(history.sightings, isOfReader);
			records.splice(offset, 1);
			history.acks.splice(0);
		},
	},
	{
		name: "a record left out by a reader",
		finds: "skipped",
		mutate(history) {
			history.sightings.splice(history.sightings.indexOf(middle(history.sightings, isOfReader)), 1);
		},
	},
	{
		name: "a first record left out by a reader",
		finds: "skipped",
		mutate: (history) => history.sightings.splice(history.sightings.findIndex(isOfReader), 1),
	},
	{
		name: "a last record that a group never got",
		finds: "skipped",
		mutate(history, records) {
			const kept = history.sightings.filter(
				({ session, offset }) => session.group === null || offset < records.length - 1,
			);
			history.sightings.splice(0, history.sightings.length, ...kept);
		},
	},
	{
		name: "a topic of which a group never got anything",
		finds: "skipped",
		mutate(history) {
			history.sightings.splice(0);
			history.sessions.splice(0);
		},
	},
	{
		name: "a record twice in one reader's hands",
		finds: "again",
		mutate: (history) => history.sightings.push({ ...middle(history.sightings, isOfReader) }),
	},
	{
		name: "an offset served twice",
		finds: "again",
		mutate: (_, records) => records.push({ ...middle(records) }),
	},
	{
		name: "a member that begins behind what was committed",
		finds: "commit lost",
		mutate: (history) => moveSession(history, sureSession(history), -1),
	},
	{
		name: "a member that begins ahead of what was committed",
		finds: "commit made up",
		mutate: (history) => moveSession(history, sureSession(history), 1),
	},
	{
		name: "a commit that is not there at the end",
		finds: "commit lost",
		mutate: ({ commits, finalCommits }) => {
			const acked = commits.filter(({ ackedStep }) => ackedStep !== undefined);
			middle(finalCommits).offset = Math.max(...acked.map(({ offset }) => offset)) - 1;
		},
	},
	{
		name: "a commit past the end",
		finds: "commit past the end",
		mutate: ({ finalCommits }) => {
			middle(finalCommits).offset += 10_000;
		},
	},
];

describe("is found", () => {
	test.for(MUTATIONS)("$name", ({ finds, mutate }) => {
		for (let seed = 1; seed <= MUTATED_SEEDS; seed++) {
			const history = new Model(seed).run();
			mutate(history, history.finalLogs[0]?.records as StoredRecord[]);
			const kinds = violationsIn(history).map(({ kind }) => kind);
			expect(kinds, `seed ${seed}`).toContain(finds);
		}
	});

	test("every kind", () => {
		const found = new Set(MUTATIONS.map(({ finds }) => finds));
		expect(Object.keys(VIOLATIONS).filter((kind) => !found.has(kind as never))).toEqual([]);
	});
});

describe("is no violation", () => {
	test("what a power cut takes from a topic that does not flush", () => {
		const history = new Model(1).run();
		history.topicsSeenEarly.add(WHERE.topic);
		history.drained.splice(0);
		const log = history.finalLogs[0] as Changed<FinalLog>;
		(log.records as StoredRecord[]).splice(-20);
		log.end -= 20;
		const acks = history.acks.map((ack) => ({ ...ack, isKept: ack.offset < log.end }));
		history.acks.splice(0, acks.length, ...acks);
		expect(describeViolations(violationsIn(history))).toBe("");
	});

	test("what retention has removed", () => {
		const history = new Model(1).run();
		history.drained.splice(0);
		const log = history.finalLogs[0] as Changed<FinalLog>;
		(log.records as StoredRecord[]).splice(0, 20);
		log.logStart = 20;
		expect(describeViolations(violationsIn(history))).toBe("");
	});
});
