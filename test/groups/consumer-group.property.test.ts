/**
 * Members that do whatever they like, topics that come and go, answers that get lost, a disk that
 * fails and a broker that stops: no partition is ever in the hands of two, and when everybody
 * behaves again everything is assigned.
 */
import fc from "fast-check";
import { expect, test } from "vitest";

import { MillraceError } from "../../src/errors.ts";
import { ConsumerGroup } from "../../src/groups/consumer/consumer-group.ts";
import { ConsumerGroupImage } from "../../src/groups/consumer/consumer-records.ts";
import { decodeKey } from "../../src/groups/log/group-records.ts";
import { seed } from "../seed.ts";
import { type Consumer, ConsumerDriver, type Partitions } from "./consumer-driver.ts";

const who = fc.nat({ max: 3 });
const set = fc.nat({ max: 5 });
const step = fc.oneof(
	{ weight: 4, arbitrary: fc.record({ kind: fc.constant("join" as const), who, set }) },
	{
		weight: 12,
		arbitrary: fc.record({
			kind: fc.constant("heartbeat" as const),
			who,
			/** It has not given up yet what it was told to. */
			isSlow: fc.boolean(),
			isAnswerLost: fc.boolean(),
		}),
	},
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant("leave" as const), who }) },
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant("subscribe" as const), who, set }) },
	{
		weight: 2,
		arbitrary: fc.record({
			kind: fc.constant("topic" as const),
			name: fc.constantFrom("t", "u", "v1"),
			partitions: fc.nat({ max: 7 }),
		}),
	},
	{
		weight: 2,
		arbitrary: fc.record({
			kind: fc.constant("wait" as const),
			ms: fc.constantFrom(500, 5_000, 20_000, 50_000),
		}),
	},
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant("disk" as const), fails: fc.boolean() }) },
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

const SUBSCRIPTIONS = [
	{ topicNames: ["t"] },
	{ topicNames: ["t", "u"] },
	{ topicNames: ["u"], serverAssignor: "range" },
	{ topicNames: ["t", "u", "v1"] },
	{ topicNames: null, topicPattern: "v.*" },
	{ topicNames: ["t"], topicPattern: "(u|v.*)" },
];

const REBALANCE_MS = 30_000;

/** What a client of the group believes to have, which is what it reads. */
class Client {
	readonly consumer: Consumer;
	/** Alive clients send heartbeats before their session ends, or think that they are out. */
	lastAnswerMs: number;
	/** What it subscribes to. */
	subscription: object;
	/** An answer was lost: it says everything with the next heartbeat. */
	isUnsure = false;
	/** Since when it has not said that it gave up what it was to, or may have been to. */
	unconfirmedMs: number | undefined;

	constructor(consumer: Consumer, subscription: object, nowMs: number) {
		this.consumer = consumer;
		this.subscription = subscription;
		this.lastAnswerMs = nowMs;
	}
}

class World {
	driver = new ConsumerDriver();
	readonly clients = new Map<number, Client>();
	#joined = 0;

	async run(action: Step): Promise<void> {
		const { host } = this.driver;
		const client = "who" in action ? this.clients.get(action.who) : undefined;
		switch (action.kind) {
			case "join":
				if (client === undefined) await this.#join(action.who, action.set);
				break;
			case "heartbeat":
				if (client !== undefined) await this.#heartbeat(action.who, client, action);
				break;
			case "leave":
				this.clients.delete(action.who);
				await client?.consumer.leave().catch(expected);
				break;
			case "subscribe":
				if (client === undefined) break;
				client.subscription = { topicPattern: "", ...SUBSCRIPTIONS[action.set] };
				await this.#tell(action.who, client, client.subscription);
				break;
			case "topic":
				this.#changeTopic(action.name, action.partitions);
				break;
			case "wait":
				host.clock.advance(action.ms);
				this.#giveUpStale();
				break;
			case "disk":
				host.failure = action.fails ? new MillraceError("DISK_FULL") : undefined;
				break;
			case "restart":
				this.#restart();
				break;
		}
	}

	#changeTopic(name: string, partitions: number): void {
		const { catalogue } = this.driver.host;
		const count = catalogue.get(name)?.partitions ?? 0;
		if (partitions === 0) catalogue.delete(name);
		else catalogue.set(name, Math.max(count, partitions));
	}

	async #join(index: number, set: number): Promise<void> {
		const { host } = this.driver;
		const id = `m${this.#joined++}`;
		const subscription = { topicPattern: "", ...SUBSCRIPTIONS[set] };
		const consumer = this.driver.consumer(id);
		const client = new Client(consumer, subscription, host.clock.monotonicMs());
		this.clients.set(index, client);
		await this.#tell(index, client, {});
	}

	async #heartbeat(
		index: number,
		client: Client,
		{ isSlow, isAnswerLost }: { isSlow: boolean; isAnswerLost: boolean },
	): Promise<void> {
		const { epoch, owned } = client.consumer;
		// Who says everything says what it has, too: otherwise it would not be told that again.
		await this.#tell(index, client, isSlow && !client.isUnsure ? { owned: null } : {});
		if (!isAnswerLost || epoch === 0 || this.clients.get(index) !== client) return;
		// It knows what it knew before, and says everything the next time.
		client.isUnsure = true;
		client.consumer.epoch = epoch;
		client.consumer.owned = owned;
		client.unconfirmedMs ??= client.lastAnswerMs;
	}

	/** A heartbeat; a client that is told off gives everything up and joins again. */
	async #tell(index: number, client: Client, change: object): Promise<void> {
		const { consumer } = client;
		const isFull = client.isUnsure || consumer.epoch === 0;
		const before = flat(consumer.owned);
		try {
			await consumer.heartbeat({
				...(isFull ? { ...client.subscription, rebalanceTimeoutMs: REBALANCE_MS } : {}),
				...change,
			});
			client.isUnsure = false;
			client.lastAnswerMs = this.driver.host.clock.monotonicMs();
			if (!("owned" in change)) client.unconfirmedMs = undefined;
			const after = new Set(flat(consumer.owned));
			if (before.some((each) => !after.has(each))) client.unconfirmedMs ??= client.lastAnswerMs;
		} catch (error) {
			expected(error);
			client.isUnsure = true;
			const { code } = error as MillraceError;
			if (code === "UNKNOWN_MEMBER_ID" || code === "FENCED_MEMBER_EPOCH") {
				consumer.owned = {};
				consumer.epoch = 0;
			}
			if (code === "COORDINATOR_NOT_AVAILABLE" && consumer.epoch === 0) this.clients.delete(index);
		}
	}

	/**
	 * Who has not had an answer for as long as its session lasts stops reading by itself, and so does
	 * who could not say within the time for a rebalance that it gave something up.
	 */
	#giveUpStale(): void {
		const { host } = this.driver;
		const nowMs = host.clock.monotonicMs();
		for (const [index, client] of this.clients) {
			const { lastAnswerMs, unconfirmedMs = nowMs } = client;
			const isStale = nowMs - lastAnswerMs >= host.timeouts.sessionTimeoutMs;
			if (isStale || nowMs - unconfirmedMs >= REBALANCE_MS) this.clients.delete(index);
		}
	}

	/** Another broker takes over with what is in the log. */
	#restart(): void {
		const { host, group } = this.driver;
		group.retire();
		host.crash();
		const image = new ConsumerGroupImage();
		for (const { key, value } of host.log.values()) {
			const decoded = decodeKey(key);
			if (decoded.kind === "consumer") expect(image.take(decoded.key, value)).toBe(true);
		}
		const next = new ConsumerGroup("g", 0, host);
		if (!image.isGone) next.restore(image);
		next.onLoaded();
		this.driver.move(next);
	}

	/** What clients believe to have, which is what they read, by partition. */
	expectNoTwoOwners(): void {
		const owners = new Map<string, string>();
		for (const { consumer } of this.clients.values()) {
			for (const partition of flat(consumer.owned)) {
				const owner = owners.get(partition);
				expect(owner, `${partition} is ${owner}'s and ${consumer.memberId}'s`).toBeUndefined();
				owners.set(partition, consumer.memberId);
			}
		}
	}

	/** Everybody behaves from here on: whatever anybody wants is with somebody who wants it. */
	async expectToSettle(): Promise<void> {
		const { host } = this.driver;
		host.failure = undefined;
		// Members whose clients have gone are out.
		for (let round = 0; round < 12; round++) {
			host.clock.advance(5_000);
			for (const [index, client] of this.clients) await this.#tell(index, client, {});
		}
		const consumers = [...this.clients.values()].map(({ consumer }) => consumer);
		expect(this.driver.state).toBe(consumers.length === 0 ? "Empty" : "Stable");
		const { members, epoch, assignmentEpoch } = this.driver.group.describe();
		expect(members).toHaveLength(consumers.length);
		if (consumers.length > 0) expect(assignmentEpoch).toBe(epoch);
		const wanted = new Set<string>();
		for (const topic of host.catalogue.list()) {
			if (!this.driver.group.isSubscribedTo(topic.name)) continue;
			for (let partition = 0; partition < topic.partitions; partition++) {
				wanted.add(`${topic.topicId}/${partition}`);
			}
		}
		const owned = consumers.flatMap((consumer) => flat(consumer.owned));
		expect(owned.sort()).toEqual([...wanted].sort());
		// Whoever reads the log finds the same group; one that nobody uses may be behind in it.
		if (consumers.length === 0) return;
		await new Promise((resolve) => setImmediate(resolve));
		const described = this.#describe();
		this.#restart();
		expect(this.#describe()).toEqual(described);
	}

	#describe() {
		const { members, ...group } = this.driver.group.describe();
		return { ...group, members: Object.fromEntries(members.map((each) => [each.memberId, each])) };
	}
}

const flat = (partitions: Partitions): string[] =>
	Object.entries(partitions).flatMap(([topicId, numbers]) =>
		numbers.map((partition) => `${topicId}/${partition}`),
	);

function expected(error: unknown): void {
	expect(error).toBeInstanceOf(MillraceError);
}

async function live(steps: readonly Step[]): Promise<void> {
	const world = new World();
	world.driver.host.catalogue.set("t", 4);
	for (const action of steps) {
		await world.run(action);
		world.expectNoTwoOwners();
	}
	await world.expectToSettle();
}

test("no partition is ever in two hands, and in the end all are in one", async () => {
	const parameters = { seed, numRuns: 200 };
	await fc.assert(
		fc.asyncProperty(fc.array(step, { maxLength: 80, size: "max" }), live),
		parameters,
	);
});
