/**
 * Groups of real clients that grow and shrink while they work: nothing is lost, and nothing is
 * delivered again once it was committed.
 */

import { setTimeout as sleep } from "node:timers/promises";
import kafkajs from "kafkajs";
import { describe, expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { CONSUMER_GROUP_HEARTBEAT } from "../../src/kafka/generated/68-consumer-group-heartbeat.ts";
import { SERVED_APIS } from "../../src/kafka/handlers/table.ts";
import { KAFKAJS_SETTINGS } from "../kafkajs-settings.ts";
import { RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";
import {
	CLIENT_PROGRAMS,
	CONFLUENT,
	FRANZ,
	GroupMember,
	type GroupProtocol,
	JAVA,
	KAFKAJS,
	type MemberEvent,
} from "./client-programs.ts";
import {
	createTopic,
	EXTERNAL_BOOTSTRAP,
	type KafkaTarget,
	ONLY_MILLRACE,
	serveKafka,
	uniqueName,
} from "./kafka-target.ts";

const PARTITIONS = 6;
/** No member is lost that does not die: longer than one needs to come back, in Java, too. */
const LONG_SESSION_MS = 150_000;
/** For who dies; the shortest that Kafka allows. */
const SHORT_SESSION_MS = 6_000;
/** Longer than the second of two members takes to come. */
const INITIAL_DELAY_MS = 10_000;
/** For what hangs: several clients start together, some in Java. */
const UNTIL_MS_MAX = 180_000;

const at = serveKafka();

/** What the members of one group did, in the order in which this process heard of it. */
class Observed {
	/** How often each record was delivered, by its value. */
	readonly deliveries = new Map<string, number>();
	/** Records that were delivered although a commit had been acknowledged behind them. */
	readonly repeatedAfterCommit: string[] = [];
	readonly committed = new Map<number, number>();
	readonly #members = new Set<GroupMember>();
	readonly #waiting = new Set<() => void>();

	take(event: MemberEvent, member: GroupMember): void {
		this.#members.add(member);
		if (event.event === "record") {
			const value = Buffer.from(event.value, "base64").toString();
			this.deliveries.set(value, (this.deliveries.get(value) ?? 0) + 1);
			if (event.offset < (this.committed.get(event.partition) ?? 0)) {
				this.repeatedAfterCommit.push(`${member.name}: ${value}`);
			}
		}
		if (event.event === "committed") {
			for (const [partition, offset] of Object.entries(event.offsets)) {
				const before = this.committed.get(Number(partition)) ?? 0;
				this.committed.set(Number(partition), Math.max(before, offset));
			}
		}
		for (const look of this.#waiting) look();
	}

	/** Resolves when a condition holds, at once or after one of the events to come. */
	until(what: string, holds: () => boolean): Promise<void> {
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => {
				this.#waiting.delete(look);
				reject(new Error(`not in time: ${what}; ${this.#told()}`));
			}, UNTIL_MS_MAX);
			const look = () => {
				if (!holds()) return;
				clearTimeout(timer);
				this.#waiting.delete(look);
				resolve();
			};
			this.#waiting.add(look);
			look();
		});
	}

	/** What members were told of their partitions, and what went wrong. */
	#told(): string {
		const members = [...this.#members].map(({ name, events }) => {
			const told = events.filter(({ event }) => event !== "record" && event !== "committed");
			return `${name}: ${JSON.stringify(told)}`;
		});
		return [...members, `${this.delivered} delivered`].join("; ");
	}

	get delivered(): number {
		return this.deliveries.size;
	}

	get committedSum(): number {
		return [...this.committed.values()].reduce((sum, offset) => sum + offset, 0);
	}
}

/** What a member does otherwise than the others of its group. */
interface MemberChange {
	readonly instance?: string;
	readonly protocol?: GroupProtocol;
	readonly sessionTimeoutMs?: number;
}

interface Group {
	readonly observed: Observed;
	readonly topic: string;
	readonly id: string;
	readonly target: KafkaTarget;
	/** Starts a member; the test ends it if it still runs. */
	join(name: string, more?: MemberChange): GroupMember;
}

/** A group of one client with a topic of its own. */
async function startGroup(
	commandLine: string[],
	protocol: GroupProtocol,
	onTestFinished: (cleanup: () => Promise<void>) => void,
	options: { handleMs?: number; target?: KafkaTarget } = {},
): Promise<Group> {
	const { target = at() } = options;
	const topic = await createTopic(target, PARTITIONS);
	const id = uniqueName("group");
	const observed = new Observed();
	return {
		observed,
		topic,
		id,
		target,
		join(name, more = {}) {
			const { bootstrap } = target;
			const { handleMs = 2 } = options;
			const sessionTimeoutMs = LONG_SESSION_MS;
			const settings = { bootstrap, topic, group: id, protocol, handleMs, sessionTimeoutMs };
			const member = new GroupMember(
				name,
				commandLine,
				{ ...settings, heartbeatMs: 300, commitEvery: 10, ...more },
				(event, by) => observed.take(event, by),
			);
			onTestFinished(() => member.kill());
			return member;
		},
	};
}

/** Writes records "FROM" to "TO - 1", spread over the partitions. */
async function produceNumbered({ target, topic }: Group, from: number, to: number): Promise<void> {
	const client = new kafkajs.Kafka({ ...KAFKAJS_SETTINGS, brokers: [target.bootstrap] });
	const producer = client.producer({
		createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
	});
	await producer.connect();
	const messages = Array.from({ length: to - from }, (_, index) => ({
		value: `${from + index}`,
		partition: (from + index) % PARTITIONS,
	}));
	await producer.send({ topic, messages });
	await producer.disconnect();
}

/** What the group has committed, as the broker tells. */
async function committedSum({ target, topic, id }: Group): Promise<number> {
	const [committed] = await target.admin.fetchOffsets({ groupId: id, topics: [topic] });
	const offsets = committed?.partitions.map(({ offset }) => Math.max(Number(offset), 0)) ?? [];
	return offsets.reduce((sum, offset) => sum + offset, 0);
}

/**
 * Has a member leave when the broker waits for nobody. One that has given up what is not its any
 * more has not always been told of the generation by then, in which alone it can commit.
 */
async function leaves({ target, id }: Group, member: GroupMember): Promise<void> {
	// Of another Kafka the clients at hand do not learn that, for groups of both protocols.
	if (target.url !== null) {
		const client = await connect(target.url, { connectTimeoutMs: UNTIL_MS_MAX });
		const untilMs = Date.now() + UNTIL_MS_MAX;
		for (;;) {
			const { state } = await client.groups.describe(id);
			if (state === "Stable") break;
			if (Date.now() > untilMs) throw new Error(`the group does not settle: it is ${state}`);
			await sleep(20);
		}
		await client.close();
	}
	await member.leave();
}

const share = (member: GroupMember): number => member.partitions.length;

/** Every number was delivered once; the failure names those that were not. */
function expectEachOnce({ deliveries }: Observed, count: number): void {
	const not = Array.from({ length: count }, (_, index) => `${index}`).flatMap((value) => {
		const times = deliveries.get(value) ?? 0;
		return times === 1 ? [] : [`${value}: ${times} times`];
	});
	expect(not).toEqual([]);
}

/** KIP-848, where the broker has it. */
const hasConsumerProtocol =
	EXTERNAL_BOOTSTRAP !== undefined || SERVED_APIS.has(CONSUMER_GROUP_HEARTBEAT.key);

const ways = CLIENT_PROGRAMS.flatMap((client) =>
	client.protocols
		.filter((protocol) => protocol !== "consumer" || hasConsumerProtocol)
		.map((protocol, index, all) => ({
			client,
			name: client.name,
			protocol,
			// Of each client the newest.
			isLong: index < all.length - 1,
		})),
);

/** Rolls a group from one protocol to the other, one member at a time. */
async function roll(
	group: Group,
	members: readonly GroupMember[],
	protocol: GroupProtocol,
	produce: (when: "before" | "after") => Promise<void>,
): Promise<GroupMember[]> {
	const { observed } = group;
	const now = [...members];
	for (const [index, member] of members.entries()) {
		await leaves(group, member);
		await produce("before");
		now[index] = group.join(`${protocol} ${index}`, { protocol });
		await observed.until(`${protocol} ${index} shares`, () =>
			now.every((each) => share(each) === 2),
		);
		await produce("after");
	}
	return now;
}

describe.concurrent("a group is rolled from the classic protocol to the new one and back", () => {
	const ways = CLIENT_PROGRAMS.filter(({ protocols }) => protocols.includes("consumer")).flatMap(
		(client) =>
			(["eager", "cooperative"] as const).map((classic) => ({
				client,
				name: client.name,
				classic,
				// Of each client one, and of each way one.
				isLong: (client === JAVA) === (classic === "cooperative"),
			})),
	);
	test.for(ways)("$name, $classic", async (way, context) => {
		const { client, classic, isLong } = way;
		if (!hasConsumerProtocol) context.skip(ONLY_MILLRACE);
		if (isLong && !RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const commandLine = client.commandLine() ?? context.skip(client.missing);
		const { onTestFinished } = context;
		const group = await startGroup(commandLine, classic, onTestFinished, { handleMs: 5 });
		const { observed } = group;
		let count = 0;
		// Java's client gives a commit up that meets a change of its epoch, and reads those records
		// again: it is given work when the group has settled, the others while it changes.
		const busy = client === JAVA ? "after" : "before";
		const produce = async (when: "before" | "after") => {
			if (when !== busy) return;
			await produceNumbered(group, count, count + 300);
			count += 300;
			const all = () => observed.delivered === count;
			if (when === "after") await observed.until("all is delivered", all);
		};
		const names = ["first", "second", "third"];
		const members = names.map((name) => group.join(name));
		await observed.until("three share", () => members.every((each) => share(each) === 2));
		await produce(busy);
		const consumers = await roll(group, members, "consumer", produce);
		const again = await roll(group, consumers, classic, produce);
		await observed.until("all is delivered", () => observed.delivered === count);
		// A commit that meets a rebalance is refused: one leaves after the other.
		for (const [index, member] of again.entries()) {
			await leaves(group, member);
			const rest = again.slice(index + 1);
			const part = PARTITIONS / rest.length;
			await observed.until("the rest share", () => rest.every((each) => share(each) === part));
		}
		expect(observed.repeatedAfterCommit).toEqual([]);
		expectEachOnce(observed, count);
		expect(await committedSum(group)).toBe(count);
	});
});

describe.concurrent("a group grows from one member to three and shrinks to one", () => {
	test.for(ways)("$name, $protocol", async (way, context) => {
		const { client, protocol, isLong } = way;
		if (isLong && !RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const commandLine = client.commandLine() ?? context.skip(client.missing);
		const { onTestFinished } = context;
		const group = await startGroup(commandLine, protocol, onTestFinished, { handleMs: 5 });
		const { observed } = group;
		const COUNT = 900;
		await produceNumbered(group, 0, 300);

		const first = group.join("first");
		await observed.until("the first member has it all", () => share(first) === PARTITIONS);
		await observed.until("the first member works", () => observed.delivered >= 20);
		const second = group.join("second");
		await observed.until("two share", () => share(first) === 3 && share(second) === 3);
		await produceNumbered(group, 300, 600);
		const third = group.join("third");
		const members = [first, second, third];
		await observed.until("three share", () => members.every((member) => share(member) === 2));
		await produceNumbered(group, 600, COUNT);
		await leaves(group, first);
		await observed.until("two go on", () => share(second) === 3 && share(third) === 3);
		await leaves(group, second);
		await observed.until("one goes on", () => share(third) === PARTITIONS);
		await observed.until("all is delivered", () => observed.delivered === COUNT);
		await leaves(group, third);

		expect(observed.repeatedAfterCommit).toEqual([]);
		expectEachOnce(observed, COUNT);
		expect(await committedSum(group)).toBe(COUNT);
	});
});

describe.concurrent("slow handlers", () => {
	test("kafkajs members that take long share work and lose none", async (context) => {
		const commandLine = KAFKAJS.commandLine() as string[];
		const { onTestFinished } = context;
		const group = await startGroup(commandLine, "eager", onTestFinished, { handleMs: 120 });
		const { observed } = group;
		const COUNT = 90;
		await produceNumbered(group, 0, COUNT);
		const first = group.join("first");
		await observed.until("the first member works", () => observed.delivered >= 5);
		const second = group.join("second");
		await observed.until("two share", () => share(first) === 3 && share(second) === 3);
		await observed.until("all is delivered", () => observed.delivered === COUNT);
		await first.leave();
		await second.leave();
		expect(observed.repeatedAfterCommit).toEqual([]);
		expect(await committedSum(group)).toBe(COUNT);
	});
});

describe.concurrent("a member dies", () => {
	test.for([CONFLUENT, FRANZ, KAFKAJS])("$name", async (client, context) => {
		const commandLine = client.commandLine() ?? context.skip(client.missing);
		const options = { handleMs: 5 };
		const group = await startGroup(commandLine, "eager", context.onTestFinished, options);
		const { observed } = group;
		const COUNT = 600;
		await produceNumbered(group, 0, COUNT / 2);
		const first = group.join("first", { sessionTimeoutMs: SHORT_SESSION_MS });
		const second = group.join("second");
		await observed.until("two share", () => share(first) === 3 && share(second) === 3);
		await observed.until("both work", () =>
			[first, second].every(({ events }) => events.some(({ event }) => event === "committed")),
		);
		await first.kill();
		await produceNumbered(group, COUNT / 2, COUNT);
		await observed.until("the other takes over", () => share(second) === PARTITIONS);
		await observed.until("all is delivered", () => observed.delivered === COUNT);
		await second.leave();
		expect(observed.repeatedAfterCommit).toEqual([]);
		expect(await committedSum(group)).toBe(COUNT);
	});
});

describe.concurrent("a static member that comes back", () => {
	const clients = CLIENT_PROGRAMS.filter(({ hasStaticMembers }) => hasStaticMembers);
	test.for(clients)("$name keeps its partitions and disturbs nobody", async (client, context) => {
		const commandLine = client.commandLine() ?? context.skip(client.missing);
		const group = await startGroup(commandLine, "eager", context.onTestFinished);
		const { observed } = group;
		await produceNumbered(group, 0, 60);
		const first = group.join("first", { instance: "one" });
		const second = group.join("second", { instance: "two" });
		await observed.until("two share", () => share(first) === 3 && share(second) === 3);
		await observed.until("all is delivered", () => observed.delivered === 60);
		const before = first.partitions;
		const seen = second.events.length;
		await first.leave();
		const again = group.join("first again", { instance: "one" });
		await observed.until("it is back", () => share(again) === 3);
		await produceNumbered(group, 60, 120);
		await observed.until("all is delivered", () => observed.delivered === 120);
		expect(again.partitions).toEqual(before);
		const changes = second.events.slice(seen).filter(({ event }) => event !== "record");
		expect(changes.filter(({ event }) => event !== "committed")).toEqual([]);
		await again.leave();
		await second.leave();
		expectEachOnce(observed, 120);
		expect(await committedSum(group)).toBe(120);
	});
});

describe.concurrent("an empty group waits for its members", () => {
	const waiting = serveKafka([`--group-initial-rebalance-delay-ms=${INITIAL_DELAY_MS}`]);
	test("two that join one after the other are one generation", async (context) => {
		if (EXTERNAL_BOOTSTRAP !== undefined) context.skip(ONLY_MILLRACE);
		const commandLine = FRANZ.commandLine() ?? context.skip(FRANZ.missing);
		const options = { target: waiting() };
		const group = await startGroup(commandLine, "eager", context.onTestFinished, options);
		const { observed } = group;
		const first = group.join("first");
		const second = group.join("second");
		await observed.until("two share", () => share(first) === 3 && share(second) === 3);
		for (const { events } of [first, second]) {
			expect(events.map(({ event }) => event)).toEqual(["assigned"]);
		}
	});
});
