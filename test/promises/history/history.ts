/**
 * What the clients of a broker did and saw, whatever protocol they speak, in the order in which one
 * process saw it happen. `violations.ts` says what of it a log that keeps its promises cannot do.
 *
 * Every record has a name: who produced it, and the how manyeth of that producer it is. Its value
 * is made from the name alone, so that whoever reads it knows whose it is and that it is unchanged.
 */

/** A record, by its producer and its number there; numbers rise in the order of sending. */
export interface RecordName {
	readonly producer: string;
	readonly number: number;
}

export interface Partition {
	readonly topic: string;
	readonly partition: number;
}

/** When something was seen, by a count of everything that was. */
interface Step {
	readonly step: number;
}

/** One attempt to have a record stored; a producer without idempotence may make several. */
export interface Send extends RecordName, Partition, Step {
	/** By the clock of this machine, in milliseconds. */
	readonly sentMs: number;
}

export interface Ack extends RecordName, Partition, Step {
	/** -1 where the broker does not know any more. */
	readonly offset: number;
	/** The broker has promised that what is done to it here does not take the record away. */
	readonly isKept: boolean;
}

/** A partition that a reader has from now on; a member of a group has it anew after rebalances. */
export interface Session extends Partition, Step {
	readonly reader: string;
	/** Null for one that reads by itself, from the first record on. */
	readonly group: string | null;
}

export interface Sighting extends RecordName, Step {
	readonly session: Session;
	readonly offset: number;
}

export interface Commit extends Partition {
	readonly group: string;
	readonly offset: number;
	readonly askedStep: number;
	/** Undefined as long as it is not acknowledged. */
	ackedStep: number | undefined;
}

/** What the broker said the end of a partition is. */
export interface EndAnswer extends Partition, Step {
	readonly askedStep: number;
	readonly end: number;
}

/** What is there when all is over. */
export interface FinalLog extends Partition {
	readonly logStart: number;
	readonly end: number;
	/** In the order in which they are served. */
	readonly records: readonly (RecordName & { readonly offset: number })[];
}

export interface FinalCommit extends Partition {
	readonly group: string;
	readonly offset: number;
}

export interface Producer {
	readonly name: string;
	/** Nothing of it may be there twice, however often it tried. */
	readonly isIdempotent: boolean;
}

export class History {
	readonly producers = new Map<string, Producer>();
	/** Topics of which readers may see what is then lost, as their configuration says. */
	readonly topicsSeenEarly = new Set<string>();
	readonly sends: Send[] = [];
	readonly acks: Ack[] = [];
	readonly sessions: Session[] = [];
	readonly sightings: Sighting[] = [];
	readonly commits: Commit[] = [];
	readonly ends: EndAnswer[] = [];
	readonly finalLogs: FinalLog[] = [];
	readonly finalCommits: FinalCommit[] = [];
	/** Readers and groups that were given the time to read everything of a topic. */
	readonly drained: { readonly reader: string; readonly topic: string }[] = [];
	#steps = 0;

	producer(name: string, isIdempotent: boolean): void {
		this.producers.set(name, { name, isIdempotent });
	}

	/** To be called before the record leaves. */
	sent(name: RecordName, where: Partition): void {
		this.sends.push({ ...name, ...where, sentMs: Date.now(), step: this.step() });
	}

	acked(name: RecordName, where: Partition, offset: number, isKept = true): void {
		this.acks.push({ ...name, ...where, offset, isKept, step: this.step() });
	}

	began(reader: string, group: string | null, where: Partition): Session {
		const session = { reader, group, ...where, step: this.step() };
		this.sessions.push(session);
		return session;
	}

	saw(session: Session, offset: number, value: Uint8Array): void {
		this.sightings.push({ ...recordName(value), session, offset, step: this.step() });
	}

	/** To be called before it leaves; what is given back takes the acknowledgement. */
	committing(group: string, where: Partition, offset: number): Commit {
		const commit = { group, ...where, offset, askedStep: this.step(), ackedStep: undefined };
		this.commits.push(commit);
		return commit;
	}

	committed(commit: Commit): void {
		commit.ackedStep = this.step();
	}

	/** `askedStep` is of `step()` before the question left. */
	endIs(where: Partition, end: number, askedStep: number): void {
		this.ends.push({ ...where, end, askedStep, step: this.step() });
	}

	/** The next step. */
	step(): number {
		this.#steps += 1;
		return this.#steps;
	}
}

/** What is read where no record stands that anyone has made. */
const NOBODY: RecordName = { producer: "nobody", number: -1 };

/** Values of many sizes, some of which compress. */
const PADDING_BYTES_MAX = 1_500;

export function recordValue({ producer, number }: RecordName): Buffer {
	const padding = (number * 7_919) % PADDING_BYTES_MAX;
	return Buffer.from(`${producer} ${number} ${"0123456789".repeat(150).slice(0, padding)}`);
}

/** Whose value it is; nobody's if a byte of it is not as it was made. */
export function recordName(value: Uint8Array): RecordName {
	const [producer, number] = Buffer.from(value).toString("latin1").split(" ", 2);
	if (producer === undefined || number === undefined) return NOBODY;
	const name = { producer, number: Number(number) };
	return recordValue(name).equals(value) ? name : NOBODY;
}
