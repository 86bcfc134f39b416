/**
 * Clients over WebSocket that note what they do: producers, readers, members of groups. All run
 * until `signal`, but for what is on its way then, which is waited for. A client that was ended
 * instead ends them with it.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { Client, Durability } from "../../../src/client/index.ts";
import { MillraceError } from "../../../src/protocol/error.ts";
import { type History, recordValue, type Session } from "./history.ts";

const IN_FLIGHT_MAX = 100;
const PACED_RECORDS = 20;
const COMMIT_EVERY_MS = 40;
const ENDS_EVERY_MS = 25;
/** How long a question waits that could not be put. */
const AGAIN_MS = 20;

export interface Load {
	readonly history: History;
	readonly topic: string;
	readonly signal: AbortSignal;
}

export interface ProduceLoad extends Load {
	readonly name: string;
	readonly partitions: number;
	/** Records a second at most; default: as many as go. */
	readonly ratePerSecondMax?: number;
	/** Whether what is done to the broker leaves the records that it has acknowledged. */
	readonly isKept?: boolean;
}

/** An idempotent producer with many records on their way. */
export async function produceOverWebSocket(
	client: Client,
	load: ProduceLoad & { readonly durability?: Durability },
): Promise<void> {
	const { history, topic, signal, name: producer, partitions, isKept } = load;
	history.producer(producer, true);
	const { durability } = load;
	const options = durability === undefined ? {} : { durability };
	const records = client.producer<Uint8Array>({ codec: "bytes", ...options });
	const underWay = new Set<Promise<void>>();
	for (let number = 0; !signal.aborted && client.state !== "closed"; number++) {
		const name = { producer, number };
		const where = { topic, partition: number % partitions };
		history.sent(name, where);
		const sent = records
			.send({ ...where, key: `${number % 100}`, value: recordValue(name) })
			.then((ack) => history.acked(name, where, ack.offset, isKept))
			.catch(expectEnded)
			.finally(() => underWay.delete(sent));
		underWay.add(sent);
		if (underWay.size >= IN_FLIGHT_MAX) await Promise.race(underWay);
		await paced(load, number);
	}
	await Promise.all(underWay);
}

/** Waits, every so many records, as long as a producer of this rate has to. */
async function paced({ ratePerSecondMax }: ProduceLoad, number: number): Promise<void> {
	if (ratePerSecondMax === undefined || number % PACED_RECORDS !== 0) return;
	await sleep((PACED_RECORDS * 1_000) / ratePerSecondMax);
}

/** Reads a topic from its beginning, by itself. */
export async function readOverWebSocket(
	client: Client,
	{ history, topic, reader, signal }: Load & { readonly reader: string },
): Promise<void> {
	const sessions = new Map<number, Session>();
	const consumer = client.consumer<Uint8Array>({
		topics: topic,
		codec: "bytes",
		from: "earliest",
		signal,
		// It may have been on its way for long: nothing that is known now has to be in it.
		onCaughtUp: (_, partition, end) => history.endIs({ topic, partition }, end, 0),
	});
	try {
		for await (const { partition, offset, valueBytes } of consumer) {
			const session = sessions.get(partition) ?? history.began(reader, null, { topic, partition });
			sessions.set(partition, session);
			history.saw(session, offset, valueBytes as Uint8Array);
		}
	} catch (error) {
		if (!signal.aborted) expectEnded(error);
	}
}

/** A member of a group, which commits what it has seen. */
export async function joinOverWebSocket(
	client: Client,
	{
		history,
		topic,
		group,
		member,
		signal,
	}: Load & { readonly group: string; readonly member: string },
): Promise<void> {
	const sessions = new Map<number, Session>();
	const positions = new Map<number, number>();
	const consumer = client.consumer<Uint8Array>({
		group,
		topics: topic,
		codec: "bytes",
		from: "earliest",
		autoCommit: false,
		signal,
		onAssign(partitions) {
			for (const where of partitions) {
				sessions.set(where.partition, history.began(member, group, where));
			}
		},
		onRevoke(partitions) {
			for (const { partition } of partitions) {
				sessions.delete(partition);
				positions.delete(partition);
			}
		},
	});
	const commitAll = async () => {
		const given = [...positions].map(([partition, offset]) => ({ topic, partition, offset }));
		if (given.length === 0) return;
		positions.clear();
		const commits = given.map((each) => history.committing(group, each, each.offset));
		try {
			await consumer.commit(given);
			for (const commit of commits) history.committed(commit);
		} catch (error) {
			// Not its partitions any more, or no connection: others go on where the group is.
			if (!(error instanceof MillraceError)) throw error;
		}
	};
	const committing = every(COMMIT_EVERY_MS, signal, commitAll);
	try {
		for await (const { partition, offset, valueBytes } of consumer) {
			const session = sessions.get(partition);
			if (session === undefined) throw new Error(`${member} was given ${partition} unassigned`);
			history.saw(session, offset, valueBytes as Uint8Array);
			positions.set(partition, offset + 1);
		}
	} catch (error) {
		if (!signal.aborted) expectEnded(error);
	}
	await committing;
}

/** Asks again and again where partitions end. */
export function watchEnds(client: Client, { history, topic, signal }: Load): Promise<void> {
	return every(ENDS_EVERY_MS, signal, async () => {
		const askedStep = history.step();
		try {
			for (const { partition, high_watermark } of await client.offsets.describe(topic)) {
				history.endIs({ topic, partition }, high_watermark, askedStep);
			}
		} catch (error) {
			// Not now: there is no broker.
			if (!(error instanceof MillraceError)) throw error;
			await sleep(AGAIN_MS);
		}
	});
}

async function every(ms: number, signal: AbortSignal, act: () => Promise<void>): Promise<void> {
	while (!signal.aborted) {
		await act();
		await sleep(ms);
	}
}

/** The client was ended by the test: that is how its producers and consumers end. */
function expectEnded(error: unknown): void {
	if (error instanceof MillraceError && error.code === "CLOSED") return;
	throw error;
}
