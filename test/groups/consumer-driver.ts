import { MillraceError } from "../../src/errors.ts";
import type { TopicIdPartitions } from "../../src/groups/consumer/assignment.ts";
import {
	ConsumerGroup,
	type ConsumerGroupHost,
	type ConsumerGroupSettings,
} from "../../src/groups/consumer/consumer-group.ts";
import type {
	ConsumerHeartbeatAnswer,
	ConsumerHeartbeatRequest,
} from "../../src/groups/consumer/consumer-requests.ts";
import type { Group, GroupRecord } from "../../src/groups/group.ts";
import type { GroupTimeouts } from "../../src/groups/group-configs.ts";
import { StateBudget } from "../../src/groups/offsets/committed-offsets.ts";
import { type LookupCatalogue, TopicLookup } from "../../src/groups/offsets/topic-lookup.ts";
import { Timers } from "../../src/groups/timers.ts";
import type { Topic, TopicChange } from "../../src/topics/catalogue.ts";
import { heartbeatRequest, joinRequest } from "./consumer-requests.ts";
import { FakeClock } from "./fake-clock.ts";

/** Topics that a test makes up. */
export class FakeTopics implements LookupCatalogue {
	readonly #topics = new Map<string, Topic>();
	readonly #listeners = new Set<(change: TopicChange) => void>();
	#created = 0;

	get(name: string): Topic | undefined {
		return this.#topics.get(name);
	}

	byId(topicId: string): Topic | undefined {
		return this.list().find((topic) => topic.topicId === topicId);
	}

	list(): readonly Topic[] {
		return [...this.#topics.values()];
	}

	onChange(listener: (change: TopicChange) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	/** Creates a topic, or gives it more partitions; answers its id. */
	set(name: string, partitions: number): string {
		const before = this.#topics.get(name);
		const number = before === undefined ? ++this.#created : 0;
		const topicId = before?.topicId ?? `00000000-0000-4000-8000-${`${number}`.padStart(12, "0")}`;
		const topic = { name, topicId, partitions } as Topic;
		this.#topics.set(name, topic);
		if (before === undefined) this.#tell({ kind: "created", topic });
		else this.#tell({ kind: "altered", topic, before });
		return topicId;
	}

	delete(name: string): void {
		const topic = this.#topics.get(name);
		this.#topics.delete(name);
		if (topic !== undefined) this.#tell({ kind: "deleted", topic });
	}

	#tell(change: TopicChange): void {
		for (const listener of this.#listeners) listener(change);
	}
}

/** What a consumer group needs around it, with time, topics and disk in the test's hands. */
export class ConsumerHost implements ConsumerGroupHost {
	readonly clock = new FakeClock();
	readonly timers = new Timers(this.clock);
	readonly budget = new StateBudget(1_000_000_000);
	readonly catalogue = new FakeTopics();
	readonly topics = new TopicLookup(this.catalogue, matchNames);
	readonly warnings: string[] = [];
	/** All that was appended and is durable, the newest of each key. */
	readonly log = new Map<string, GroupRecord>();
	/** What the next appends fail with. */
	failure: MillraceError | undefined;
	/** Records appended so far. */
	appendedCount = 0;
	#crashes = 0;
	timeouts: GroupTimeouts = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 5_000 };
	consumer: ConsumerGroupSettings = {
		timeoutsOf: () => this.timeouts,
		membersMax: 1_000,
		maySpeakClassic: false,
		classicMembersMax: 1_000,
		assignors: ["uniform", "range"],
	};

	wallMs(): number {
		return this.clock.wallMs();
	}

	monotonicMs(): number {
		return this.clock.monotonicMs();
	}

	append(
		_group: Group,
		records: readonly GroupRecord[],
		done: (error?: MillraceError) => void,
	): void {
		const { failure } = this;
		const crashes = this.#crashes;
		this.appendedCount += records.length;
		setImmediate(() => {
			if (crashes !== this.#crashes) return;
			for (const record of failure === undefined ? records : []) {
				const key = Buffer.from(record.key).toString("latin1");
				if (record.value === null) this.log.delete(key);
				else this.log.set(key, record);
			}
			done(failure);
		});
	}

	becomeClassic(): Promise<void> {
		throw new Error("there is nobody here to become a classic group");
	}

	/** What is on its way to disk is lost. */
	crash(): void {
		this.#crashes++;
	}

	debug(): void {
		// Nobody reads it here.
	}

	warn(_group: Group, _details: object, message: string): void {
		this.warnings.push(message);
	}
}

/** As JavaScript understands them: what a test needs of regular expressions is the same. */
export function matchNames(pattern: string, names: readonly string[]): boolean[] {
	let whole: RegExp;
	try {
		whole = new RegExp(`^(?:${pattern})$`);
	} catch (error) {
		throw notExpression(pattern, error);
	}
	return names.map((name) => whole.test(name));
}

function notExpression(pattern: string, cause: unknown): MillraceError {
	return new MillraceError("INVALID_REGULAR_EXPRESSION", pattern, { cause });
}

export type Partitions = Readonly<Record<string, readonly number[]>>;

/** A member as a well-behaved client is one: it gives up at once what it is told to. */
export class Consumer {
	memberId: string;
	epoch = 0;
	/** What it has, by topic id. */
	owned: Partitions = {};
	readonly #driver: ConsumerDriver;
	readonly #join: Partial<ConsumerHeartbeatRequest>;

	constructor(driver: ConsumerDriver, memberId: string, join: Partial<ConsumerHeartbeatRequest>) {
		this.#driver = driver;
		this.memberId = memberId;
		this.#join = join;
	}

	/** One heartbeat, with what it has when it is a member. */
	async heartbeat(
		change: Partial<ConsumerHeartbeatRequest> = {},
	): Promise<ConsumerHeartbeatAnswer> {
		const { instanceId = null } = this.#join;
		const request =
			this.epoch === 0
				? { ...this.#driver.joinRequest(this.memberId), ...this.#join }
				: {
						...this.#driver.request(this.memberId, this.epoch),
						instanceId,
						owned: toList(this.owned),
					};
		const answer = await this.#driver.group.heartbeat({ ...request, ...change });
		this.memberId = answer.memberId;
		this.epoch = answer.memberEpoch;
		if (answer.assignment !== null) this.owned = fromList(answer.assignment);
		return answer;
	}

	leave(memberEpoch = -1): Promise<ConsumerHeartbeatAnswer> {
		const { instanceId = null } = this.#join;
		this.epoch = 0;
		this.owned = {};
		const request = this.#driver.request(this.memberId, memberEpoch);
		return this.#driver.group.leave({ ...request, instanceId });
	}
}

/** A group and shorthands for what its members do. */
export class ConsumerDriver {
	readonly host: ConsumerHost;
	group: ConsumerGroup;

	constructor(host = new ConsumerHost()) {
		this.host = host;
		this.group = new ConsumerGroup("g", 0, host);
	}

	/** Goes on with another group, as after a restart. */
	move(group: ConsumerGroup): void {
		this.group = group;
	}

	get state(): string {
		return this.group.summary().state;
	}

	request(memberId: string, memberEpoch: number): ConsumerHeartbeatRequest {
		return heartbeatRequest(memberId, memberEpoch);
	}

	joinRequest(memberId: string): ConsumerHeartbeatRequest {
		return joinRequest(memberId, "t");
	}

	consumer(memberId: string, join: Partial<ConsumerHeartbeatRequest> = {}): Consumer {
		return new Consumer(this, memberId, join);
	}

	/** A consumer that has joined. */
	async join(memberId: string, change: Partial<ConsumerHeartbeatRequest> = {}): Promise<Consumer> {
		const consumer = this.consumer(memberId, change);
		await consumer.heartbeat();
		return consumer;
	}

	/** Heartbeats of all in turn, until nothing changes any more. */
	async settle(...consumers: readonly Consumer[]): Promise<void> {
		for (let round = 0; round < 10; round++) {
			const before = JSON.stringify(this.group.describe());
			for (const consumer of consumers) await consumer.heartbeat();
			if (JSON.stringify(this.group.describe()) === before) return;
		}
		throw new Error(`the group does not settle: ${this.state}`);
	}
}

export const toList = (partitions: Partitions): TopicIdPartitions[] =>
	Object.entries(partitions).map(([topicId, numbers]) => ({ topicId, partitions: numbers }));

export const fromList = (list: readonly TopicIdPartitions[]): Partitions =>
	Object.fromEntries(list.map(({ topicId, partitions }) => [topicId, partitions]));
