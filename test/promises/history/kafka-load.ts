/**
 * Clients over the Kafka protocol that note what they do, with kafkajs: producers with and without
 * idempotence, and members of groups. All run until `signal`, but for what is on its way then,
 * which is sent again until it is acknowledged, unless the broker is not to come back.
 */
import { setTimeout as sleep } from "node:timers/promises";
import kafkajs, { type Kafka, type KafkaJSError } from "kafkajs";

import { KAFKAJS_SETTINGS } from "../../kafkajs-settings.ts";
import { type Commit, recordValue, type Session } from "./history.ts";
import type { Load, ProduceLoad } from "./websocket-load.ts";

/** How long after a failure it is tried again: about what a broker takes to come up. */
const AGAIN_MS = 50;
/** Short: a member that joins anew waits for what it was before (group.min.session.timeout.ms). */
const SESSION_TIMEOUT_MS = 2_000;
const HEARTBEAT_MS = 300;
const RECORDS_PER_REQUEST_MAX = 12;

/**
 * A client of a broker that may be gone for a while, and comes back at the same address.
 * @param retries for connecting and asking where things are: a member that gives that up joins anew
 */
export function kafkaClient(bootstrap: string, retries = 200): Kafka {
	return new kafkajs.Kafka({
		...KAFKAJS_SETTINGS,
		brokers: [bootstrap],
		connectionTimeout: 2_000,
		requestTimeout: 5_000,
		retry: { initialRetryTime: 30, maxRetryTime: 100, retries },
	});
}

/**
 * A producer that waits for each request, of some records in a partition, before the next: what
 * failed it sends again, and one without idempotence notes that as another attempt.
 * @param isOver the broker will not come back: what is not acknowledged stays so
 */
export async function produceOverKafka(
	kafka: Kafka,
	load: ProduceLoad & { readonly isIdempotent: boolean; readonly isOver?: AbortSignal },
): Promise<void> {
	const { history, topic, signal, name: producer, partitions, isIdempotent, isKept } = load;
	history.producer(producer, isIdempotent);
	const client = kafka.producer({
		idempotent: isIdempotent,
		maxInFlightRequests: 1,
		createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
		// What it repeats by itself it does not tell; without idempotence every attempt is noted here.
		retry: { retries: isIdempotent ? 3 : 0 },
	});
	const isOver = () => load.isOver?.aborted === true;
	await untilDone(isOver, () => client.connect());
	for (let number = 0; !signal.aborted; ) {
		const where = { topic, partition: number % partitions };
		const count = 1 + (number % RECORDS_PER_REQUEST_MAX);
		const names = Array.from({ length: count }, (_, index) => ({
			producer,
			number: number + index,
		}));
		number += count;
		const messages = names.map((name) => ({
			partition: where.partition,
			key: `${name.number % 100}`,
			value: recordValue(name),
		}));
		const note = () => {
			for (const name of names) history.sent(name, where);
		};
		note();
		let isFirst = true;
		const answers = await untilDone(isOver, () => {
			if (!isFirst) note();
			isFirst = false;
			return client.send({ topic, messages, acks: -1 });
		});
		if (answers === undefined) break;
		const base = Number(answers[0]?.baseOffset);
		for (const [index, name] of names.entries()) {
			history.acked(name, where, base < 0 ? base : base + index, isKept);
		}
	}
	await client.disconnect();
}

/** A member of a group that commits what it has seen of each batch. */
export async function joinOverKafka(
	kafka: Kafka,
	load: Load & { readonly group: string; readonly member: string; readonly isOver?: AbortSignal },
): Promise<void> {
	const { history, topic, group, member, signal } = load;
	const sessions = new Map<number, Session>();
	/** By partition and offset. */
	const commits = new Map<string, Commit>();
	const consumer = kafka.consumer({
		groupId: group,
		sessionTimeout: SESSION_TIMEOUT_MS,
		heartbeatInterval: HEARTBEAT_MS,
		maxWaitTimeInMs: 100,
		retry: {
			initialRetryTime: 30,
			maxRetryTime: 100,
			retries: 20,
			restartOnFailure: async () => true,
		},
	});
	consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
		sessions.clear();
		for (const partition of payload.memberAssignment[topic] ?? []) {
			sessions.set(partition, history.began(member, group, { topic, partition }));
		}
	});
	// An ending member's `commitOffsets` resolves without a word from the broker; this does not.
	consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => {
		for (const { partition, offset } of payload.topics.flatMap((each) => each.partitions)) {
			const noted = commits.get(`${partition} ${offset}`);
			if (noted !== undefined) history.committed(noted);
		}
	});
	const isOver = () => load.isOver?.aborted === true;
	await untilDone(isOver, () => consumer.connect());
	await untilDone(isOver, () => consumer.subscribe({ topic, fromBeginning: true }));
	await consumer.run({
		autoCommit: false,
		eachBatchAutoResolve: false,
		async eachBatch({ batch: { partition, messages }, resolveOffset, isStale }) {
			const session = sessions.get(partition);
			const last = messages.at(-1);
			if (isStale() || session === undefined || last === undefined) return;
			for (const { offset, value } of messages) {
				history.saw(session, Number(offset), value as Buffer);
			}
			resolveOffset(last.offset);
			const next = Number(last.offset) + 1;
			commits.set(`${partition} ${next}`, history.committing(group, { topic, partition }, next));
			try {
				await consumer.commitOffsets([{ topic, partition, offset: `${next}` }]);
			} catch (error) {
				// No broker, or not its partition any more: it is not acknowledged.
				expectOfKafkajs(error);
			}
		},
	});
	await ended(signal);
	try {
		await consumer.disconnect();
	} catch (error) {
		// It cannot tell a broker that is gone that it leaves.
		if (!isOver()) throw error;
	}
}

/** What an action gives once it succeeds; undefined when it fails and all is over. */
async function untilDone<Result>(
	isOver: () => boolean,
	act: () => Promise<Result>,
): Promise<Result | undefined> {
	for (;;) {
		try {
			return await act();
		} catch (error) {
			expectNoRefusal(error);
			if (isOver()) return undefined;
		}
		await sleep(AGAIN_MS);
	}
}

/** A broker that died is no answer; one that says that it is no use to try again fails the test. */
function expectNoRefusal(error: unknown): void {
	expectOfKafkajs(error);
	const cause = error.cause ?? error;
	if (cause instanceof kafkajs.KafkaJSProtocolError && !cause.retriable) throw error;
}

/** What kafkajs fails with; all else is a fault of the test. */
function expectOfKafkajs(error: unknown): asserts error is KafkaJSError {
	if (!(error instanceof kafkajs.KafkaJSError)) throw error;
}

function ended(signal: AbortSignal): Promise<void> {
	if (signal.aborted) return Promise.resolve();
	return new Promise((resolve) => {
		signal.addEventListener("abort", () => resolve(), { once: true });
	});
}
