/**
 * What in a history a log that keeps its promises cannot have done: the log is one sequence of
 * records a partition, every acknowledged record in it once and where its producer was told, behind
 * all that were acknowledged before it was sent; whoever reads it sees a beginning of it.
 */
import type {
	Ack,
	Commit,
	FinalLog,
	History,
	Partition,
	RecordName,
	Send,
	Sighting,
} from "./history.ts";

/** What can be wrong, and what is meant by it. */
export const VIOLATIONS = {
	lost: "an acknowledged record is not where its producer was told",
	twice: "a record is there more often than it may be",
	"made up": "a record is there that nobody has sent there by then",
	"out of order": "a producer's records are not in the order in which it sent them",
	overtaken: "a record lies ahead of one that was acknowledged before it was sent",
	reused: "an offset was given to two records",
	"past the end": "a reader has seen an offset behind the end of the log",
	"seen and gone": "a reader has seen a record that is not there any more",
	skipped: "a reader was not given a record that is there",
	again: "a reader was given what it had already",
	"end too low": "the end of the log went back, or is below what was acknowledged or seen",
	"commit lost": "a group is behind what it has committed",
	"commit made up": "a group is ahead of what it has committed",
	"commit past the end": "a group has committed more than there is",
} as const;

export interface Violation {
	readonly kind: keyof typeof VIOLATIONS;
	/** Where, and of which records. */
	readonly detail: string;
}

/** All violations; none is what a test expects. Needs the final logs of all partitions used. */
export function violationsIn(history: History): Violation[] {
	const found: Violation[] = [];
	for (const log of history.finalLogs) {
		const view = new PartitionView(history, log, found);
		view.checkStored();
		view.checkAcks();
		view.checkOffsets();
		view.checkEnds();
		view.checkReaders();
		view.checkCommits();
	}
	return found;
}

/** For the message of a failed test: how many there are of each kind, and some of them. */
export function describeViolations(violations: readonly Violation[]): string {
	const kinds = [...new Set(violations.map(({ kind }) => kind))];
	return kinds
		.map((kind) => {
			const details = violations.filter((each) => each.kind === kind).map(({ detail }) => detail);
			const some = details.slice(0, 5).map((detail) => `\n  ${detail}`);
			return `${details.length} times ${kind} (${VIOLATIONS[kind]}):${some.join("")}`;
		})
		.join("\n");
}

const textOf = ({ producer, number }: RecordName): string => `${producer}/${number}`;

/** Everything that a history has about one partition. */
class PartitionView {
	readonly #history: History;
	readonly #log: FinalLog;
	readonly #found: Violation[];
	readonly #sends: readonly Send[];
	/** Those that say something of what is there at the end. */
	readonly #keptAcks: readonly Ack[];
	readonly #sightings: readonly Sighting[];
	/** By the record's name, in the order of the attempts. */
	readonly #attempts: Map<string, Send[]>;
	/** By offset. */
	readonly #stored: Map<number, string>;
	/** What readers see is as durable as what is acknowledged. */
	readonly #isSeenKept: boolean;

	constructor(history: History, log: FinalLog, found: Violation[]) {
		const here = ({ topic, partition }: Partition) =>
			topic === log.topic && partition === log.partition;
		this.#history = history;
		this.#log = log;
		this.#found = found;
		this.#sends = history.sends.filter(here);
		this.#keptAcks = history.acks.filter((ack) => ack.isKept && here(ack));
		this.#sightings = history.sightings.filter(({ session }) => here(session));
		this.#attempts = groupBy(this.#sends, textOf);
		this.#stored = new Map(log.records.map((record) => [record.offset, textOf(record)]));
		this.#isSeenKept = !history.topicsSeenEarly.has(log.topic);
	}

	/** What is there was sent, not more often than it may be, and each producer's in order. */
	checkStored(): void {
		const copies = new Map<string, number>();
		const latest = new Map<string, number>();
		let offsetBefore = -1;
		for (const record of this.#log.records) {
			const { producer, number, offset } = record;
			const name = textOf(record);
			if (offset <= offsetBefore) this.#report("again", `${name} at ${offset}`);
			offsetBefore = offset;
			if (offset >= this.#log.end) this.#report("past the end", `${name} at ${offset}`);
			if (!this.#attempts.has(name)) this.#report("made up", `${name} at ${offset}`);
			const count = (copies.get(name) ?? 0) + 1;
			copies.set(name, count);
			if (count > this.#copiesMax(record)) this.#report("twice", `${name} at ${offset}`);
			if (count > 1) continue;
			const before = latest.get(producer) ?? -1;
			if (number < before) this.#report("out of order", `${name} behind ${producer}/${before}`);
			latest.set(producer, Math.max(before, number));
		}
	}

	/** What was acknowledged is there, in an order that those who waited for acks can have seen. */
	checkAcks(): void {
		const names = new Set(this.#stored.values());
		for (const ack of this.#keptAcks) {
			if (isBelow(ack.offset, this.#log.logStart)) continue;
			const name = textOf(ack);
			const isThere = ack.offset < 0 ? names.has(name) : this.#stored.get(ack.offset) === name;
			if (!isThere) this.#report("lost", `${name}, acknowledged at ${ack.offset}`);
		}
		const acks = this.#keptAcks.filter(({ offset }) => offset >= 0);
		const highestAcked = highest(acks, ({ step, offset }) => [step, offset]);
		for (const ack of acks) {
			const first = this.#attempts.get(textOf(ack))?.[0];
			if (first === undefined) {
				this.#report("made up", `${textOf(ack)}, acknowledged at ${ack.offset}`);
				continue;
			}
			const before = highestAcked(first.step);
			if (ack.offset > before) continue;
			this.#report("overtaken", `${textOf(ack)} at ${ack.offset}, sent after the ack of ${before}`);
		}
	}

	/** An offset belongs to one record for ever. */
	checkOffsets(): void {
		const owners = new Map(this.#stored);
		const seen = this.#isSeenKept ? this.#sightings : [];
		const acks = this.#keptAcks.filter(({ offset }) => offset >= 0);
		for (const record of [...acks, ...seen]) {
			const name = textOf(record);
			const owner = owners.get(record.offset) ?? name;
			if (owner !== name) this.#report("reused", `${record.offset} by ${owner} and ${name}`);
			owners.set(record.offset, owner);
		}
	}

	checkEnds(): void {
		if (!this.#isSeenKept) return;
		const ends = this.#history.ends.filter((answer) => this.#isHere(answer));
		const known = highest(
			[
				...ends.map(({ step, end }) => ({ step, end })),
				...this.#keptAcks.map(({ step, offset }) => ({ step, end: offset + 1 })),
				...this.#sightings.map(({ step, offset }) => ({ step, end: offset + 1 })),
			],
			({ step, end }) => [step, end],
		);
		const last = { askedStep: Number.POSITIVE_INFINITY, end: this.#log.end };
		for (const { askedStep, end } of [...ends, last]) {
			const before = known(askedStep);
			if (end < before) this.#report("end too low", `${end}, and ${before} was known`);
		}
	}

	/** A reader sees what is there, each record once, without leaving one out. */
	checkReaders(): void {
		const offsets = this.#log.records.map(({ offset }) => offset);
		const sessions = groupBy(this.#sightings, ({ session }) => session);
		for (const [session, sightings] of sessions) {
			let previous = session.group === null ? -1 : (sightings[0] as Sighting).offset - 1;
			for (const sighting of sightings) {
				const { offset } = sighting;
				const what = `${textOf(sighting)} at ${offset} by ${session.reader}`;
				if (offset <= previous) this.#report("again", what);
				const between = firstBetween(offsets, previous, offset);
				if (between !== undefined) this.#report("skipped", `${between}, then ${what}`);
				previous = Math.max(previous, offset);
				this.#checkSighting(sighting, what);
			}
		}
		const readers = groupBy(this.#sightings, ({ session: { group, reader } }) => group ?? reader);
		for (const { reader, topic } of this.#history.drained) {
			if (topic !== this.#log.topic) continue;
			const seen = new Set(readers.get(reader)?.map(({ offset }) => offset));
			for (const offset of offsets) {
				if (!seen.has(offset)) this.#report("skipped", `${offset}, never seen by ${reader}`);
			}
		}
	}

	/** A group goes on where it has committed, and nobody commits what is not there. */
	checkCommits(): void {
		const groups = groupBy(
			this.#history.commits.filter((commit) => this.#isHere(commit)),
			({ group }) => group,
		);
		const firsts = new Map<object, Sighting>();
		for (const sighting of this.#sightings) {
			if (!firsts.has(sighting.session)) firsts.set(sighting.session, sighting);
		}
		for (const { session, offset, step } of firsts.values()) {
			if (session.group === null) continue;
			const commits = groups.get(session.group) ?? [];
			this.#checkPosition(commits, `${session.reader} began`, offset, session.step, step);
		}
		const end = Number.POSITIVE_INFINITY;
		for (const final of this.#history.finalCommits) {
			if (!this.#isHere(final)) continue;
			const commits = groups.get(final.group) ?? [];
			this.#checkPosition(commits, `${final.group} ended`, final.offset, end, end);
			if (this.#isSeenKept && final.offset > this.#log.end) {
				this.#report("commit past the end", `${final.group} at ${final.offset}`);
			}
		}
	}

	#checkSighting(sighting: Sighting, what: string): void {
		const { offset, step } = sighting;
		const name = textOf(sighting);
		const sentStep = this.#attempts.get(name)?.[0]?.step ?? Number.POSITIVE_INFINITY;
		if (sentStep > step) this.#report("made up", what);
		if (!this.#isSeenKept) return;
		if (offset >= this.#log.end) this.#report("past the end", what);
		else if (!isBelow(offset, this.#log.logStart) && this.#stored.get(offset) !== name) {
			this.#report("seen and gone", what);
		}
	}

	/** `offset` was where a group was, told at some time from `from` on, before `until`. */
	#checkPosition(
		commits: readonly Commit[],
		what: string,
		offset: number,
		from: number,
		until: number,
	): void {
		const acked = commits.filter(({ ackedStep = from }) => ackedStep < from);
		const asked = commits.filter(({ askedStep }) => askedStep < until);
		const lowest = Math.max(0, ...acked.map((commit) => commit.offset));
		const highestAsked = Math.max(0, this.#log.logStart, ...asked.map((commit) => commit.offset));
		const told = `${what} at ${offset}`;
		if (offset < lowest) this.#report("commit lost", `${told}, committed ${lowest}`);
		if (offset > highestAsked) this.#report("commit made up", `${told}, committed ${highestAsked}`);
	}

	/** How often a record may be there: a producer that cannot tell may send it again. */
	#copiesMax(record: RecordName): number {
		if (this.#history.producers.get(record.producer)?.isIdempotent !== false) return 1;
		return this.#attempts.get(textOf(record))?.length ?? 0;
	}

	#isHere({ topic, partition }: Partition): boolean {
		return topic === this.#log.topic && partition === this.#log.partition;
	}

	#report(kind: Violation["kind"], detail: string): void {
		this.#found.push({ kind, detail: `${this.#log.topic}-${this.#log.partition}: ${detail}` });
	}
}

/** Known and lower: what lies below the start of a log was removed on purpose. */
const isBelow = (offset: number, logStart: number): boolean => offset >= 0 && offset < logStart;

function groupBy<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
	const groups = new Map<Key, Item[]>();
	for (const item of items) {
		const key = keyOf(item);
		const group = groups.get(key);
		if (group === undefined) groups.set(key, [item]);
		else group.push(item);
	}
	return groups;
}

/** The highest value that was known before a step; -1 where none was. */
function highest<Item>(
	items: readonly Item[],
	of: (item: Item) => [step: number, value: number],
): (step: number) => number {
	const known = items.map(of).sort(([left], [right]) => left - right);
	let high = -1;
	for (const entry of known) {
		high = Math.max(high, entry[1]);
		entry[1] = high;
	}
	return (step) => known[lowerBound(known, ([each]) => each < step) - 1]?.[1] ?? -1;
}

/** The first of rising offsets that lies between two others. */
function firstBetween(
	offsets: readonly number[],
	after: number,
	before: number,
): number | undefined {
	const offset = offsets[lowerBound(offsets, (each) => each <= after)];
	return offset !== undefined && offset < before ? offset : undefined;
}

/** How many at the beginning of a list are as asked for; none behind them is. */
function lowerBound<Item>(items: readonly Item[], isBefore: (item: Item) => boolean): number {
	let [low, high] = [0, items.length];
	while (low < high) {
		const middle = (low + high) >>> 1;
		if (isBefore(items[middle] as Item)) low = middle + 1;
		else high = middle;
	}
	return low;
}
