/**
 * Members of both protocols in one group, who come, go, crash and come back in the other protocol,
 * while topics grow and the broker stops: no partition is read by two, epochs only rise, what was
 * committed stays, and what the log adds up to is what the broker has in memory.
 */
import fc from "fast-check";
import { expect, test } from "vitest";

import { MillraceError } from "../../src/errors.ts";
import { readAssignment, readSubscription } from "../../src/groups/consumer/consumer-protocol.ts";
import { GroupCoordinator } from "../../src/groups/coordinator.ts";
import { JoinRefused } from "../../src/groups/member.ts";
import type { JoinAnswer } from "../../src/groups/requests.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { encodeMessage } from "../kafka/client-codec.ts";
import { seed } from "../seed.ts";
import { commitRequest, type Harness, joinRequest, OPTIONS, start } from "./harness.ts";

const TOPIC = "orders";
const VERSION = 1;
const MEMBERS = 4;
const CLASSIC_SESSION_MS = 10_000;

const who = fc.nat({ max: MEMBERS - 1 });
const step = fc.oneof(
	{
		weight: 4,
		arbitrary: fc.record({
			kind: fc.constant("start" as const),
			who,
			speaksClassic: fc.boolean(),
			isStatic: fc.boolean(),
		}),
	},
	{ weight: 10, arbitrary: fc.record({ kind: fc.constant("act" as const), who }) },
	{ weight: 4, arbitrary: fc.record({ kind: fc.constant("all" as const) }) },
	{ weight: 3, arbitrary: fc.record({ kind: fc.constant("commit" as const), who }) },
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant("leave" as const), who }) },
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), who }) },
	{
		weight: 2,
		arbitrary: fc.record({
			kind: fc.constant("wait" as const),
			ms: fc.constantFrom(1_000, 4_000, 12_000, 50_000),
		}),
	},
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant("grow" as const) }) },
	{ weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** What a member may be told when others, or the broker, did not do what it hoped for. */
const EXPECTED = new Set([
	"COORDINATOR_NOT_AVAILABLE",
	"FENCED_INSTANCE_ID",
	"FENCED_MEMBER_EPOCH",
	"GROUP_ID_NOT_FOUND",
	"ILLEGAL_GENERATION",
	"NOT_COORDINATOR",
	"REBALANCE_IN_PROGRESS",
	"STALE_MEMBER_EPOCH",
	"UNKNOWN_MEMBER_ID",
	"UNRELEASED_INSTANCE_ID",
]);

interface Surroundings {
	readonly coordinator: GroupCoordinator;
	/** Resolves when nothing goes on but for members who wait for each other. */
	quiet(): Promise<void>;
	readonly topicId: string;
	readonly partitionCount: number;
}

/** A client of the group, and what it believes to have, which is what it reads. */
abstract class Client {
	readonly world: Surroundings;
	readonly instanceId: string | null;
	memberId = "";
	/** Its generation or epoch. */
	epoch = -1;
	owned: number[] = [];
	isOver = false;
	#busy: Promise<void> | null = null;

	constructor(world: Surroundings, instanceId: string | null) {
		this.world = world;
		this.instanceId = instanceId;
	}

	/** Does what it does next; returns before that is over when it waits for others. */
	async act(): Promise<void> {
		this.#busy ??= this.next()
			.catch((error: unknown) => {
				if (!(error instanceof MillraceError) || !EXPECTED.has(error.code)) throw error;
				this.refused(error.code);
			})
			.finally(() => {
				this.#busy = null;
			});
		await this.world.quiet();
	}

	protected abstract next(): Promise<void>;
	protected abstract refused(code: string): void;
	abstract leave(): Promise<void>;
}

class ClassicClient extends Client {
	readonly #isEager: boolean;
	#joins = true;
	/** How many partitions it has assigned, as the leader; null: it does not lead. */
	#assignedCount: number | null = null;

	constructor(world: Surroundings, instanceId: string | null, isEager: boolean) {
		super(world, instanceId);
		this.#isEager = isEager;
	}

	protected async next(): Promise<void> {
		const { coordinator } = this.world;
		const hasGrown = this.#assignedCount !== null && this.#assignedCount !== this.#count;
		if (!this.#joins && !hasGrown) {
			coordinator.heartbeat(this.#identity);
			return;
		}
		if (this.#isEager) this.owned = [];
		const joined = await coordinator.join(this.#request()).catch((error: unknown) => {
			const isSentAway = error instanceof JoinRefused && error.code === "MEMBER_ID_REQUIRED";
			if (!isSentAway) throw error;
			this.memberId = error.memberId;
			return coordinator.join(this.#request());
		});
		this.memberId = joined.memberId;
		this.epoch = joined.generation;
		const leads = joined.leader === joined.memberId;
		this.#assignedCount = leads ? this.#count : null;
		const answer = await coordinator.sync({
			...this.#identity,
			protocolType: "consumer",
			protocolName: "range",
			assignments: leads ? this.#assign(joined) : [],
		});
		const assigned = readAssignment(answer.assignment)?.assignedPartitions[0]?.partitions ?? [];
		const hasGivenUp = this.owned.some((partition) => !assigned.includes(partition));
		this.owned = this.isOver ? [] : [...assigned];
		// What it has given up goes to others when it says so.
		this.#joins = hasGivenUp;
	}

	get #count(): number {
		return this.world.partitionCount;
	}

	get #identity() {
		const { memberId, epoch, instanceId } = this;
		return { groupId: "g", memberId, generation: epoch, groupInstanceId: instanceId };
	}

	#request() {
		const partitions = this.owned;
		const metadata = Buffer.concat([
			Buffer.from([0, VERSION]),
			encodeMessage("ConsumerProtocolSubscription", VERSION, {
				topics: [TOPIC],
				ownedPartitions: partitions.length === 0 ? [] : [{ topic: TOPIC, partitions }],
			}),
		]);
		return joinRequest({
			memberId: this.memberId,
			groupInstanceId: this.instanceId,
			protocolType: "consumer",
			protocols: [{ name: "range", metadata }],
			sessionTimeoutMs: CLASSIC_SESSION_MS,
			rebalanceTimeoutMs: 20_000,
			requiresKnownMemberId: true,
		});
	}

	/** In turn; what another still has stays with that one for this generation, or with nobody. */
	#assign({ members }: JoinAnswer) {
		const count = this.#count;
		const owners = new Map<number, string>();
		for (const { memberId, metadata } of members) {
			for (const { partitions } of readSubscription(metadata)!.ownedPartitions) {
				for (const partition of partitions) owners.set(partition, memberId);
			}
		}
		const parts = new Map(members.map(({ memberId }) => [memberId, [] as number[]]));
		for (let partition = 0; partition < count; partition++) {
			const { memberId } = members[partition % members.length]!;
			if ((owners.get(partition) ?? memberId) === memberId) parts.get(memberId)!.push(partition);
		}
		return Array.from(parts, ([memberId, partitions]) => ({
			memberId,
			assignment: Buffer.concat([
				Buffer.from([0, VERSION]),
				encodeMessage("ConsumerProtocolAssignment", VERSION, {
					assignedPartitions: [{ topic: TOPIC, partitions }],
					userData: null,
				}),
			]),
		}));
	}

	protected refused(code: string): void {
		this.#joins = true;
		if (code === "REBALANCE_IN_PROGRESS") return;
		if (code === "COORDINATOR_NOT_AVAILABLE" || code === "NOT_COORDINATOR") return;
		this.owned = [];
		if (code === "FENCED_INSTANCE_ID") this.isOver = true;
		if (code === "UNKNOWN_MEMBER_ID") this.memberId = "";
	}

	async leave(): Promise<void> {
		this.owned = [];
		const leaving = { memberId: this.memberId, groupInstanceId: this.instanceId, reason: null };
		await this.world.coordinator.leave({ groupId: "g", members: [leaving] });
	}
}

class ConsumerClient extends Client {
	constructor(world: Surroundings, instanceId: string | null, memberId: string) {
		super(world, instanceId);
		this.memberId = memberId;
		this.epoch = 0;
	}

	protected async next(): Promise<void> {
		const answer = await this.#heartbeat(this.epoch);
		this.epoch = answer.memberEpoch;
		if (answer.assignment === null || this.isOver) return;
		this.owned = answer.assignment.flatMap(({ partitions }) => [...partitions]);
	}

	#heartbeat(memberEpoch: number) {
		const { topicId } = this.world;
		const isJoin = memberEpoch === 0;
		return this.world.coordinator.consumerHeartbeat({
			groupId: "g",
			memberId: this.memberId,
			memberEpoch,
			instanceId: this.instanceId,
			rackId: null,
			clientId: "client",
			clientHost: "/127.0.0.1",
			rebalanceTimeoutMs: isJoin ? 20_000 : -1,
			topicNames: isJoin ? [TOPIC] : null,
			topicPattern: null,
			serverAssignor: null,
			owned: isJoin ? [] : [{ topicId, partitions: this.owned }],
			requiresMemberId: true,
		});
	}

	protected refused(code: string): void {
		if (code === "COORDINATOR_NOT_AVAILABLE" || code === "NOT_COORDINATOR") return;
		this.owned = [];
		this.epoch = 0;
		if (code === "FENCED_INSTANCE_ID") this.isOver = true;
	}

	async leave(): Promise<void> {
		this.owned = [];
		await this.#heartbeat(-1);
	}
}

/** Storage that tells when nothing is under way in it. */
class Watched {
	#pending = 0;

	readonly watch = (storage: Storage): Storage => {
		const onToken = (token: number, done: (code: number) => void) => {
			this.#pending++;
			storage.onToken(token, (code) => {
				this.#pending--;
				done(code);
			});
		};
		return new Proxy(storage, {
			get(target, name) {
				if (name === "onToken") return onToken;
				const value: unknown = Reflect.get(target, name, target);
				return typeof value === "function" ? value.bind(target) : value;
			},
		});
	};

	async quiet(): Promise<void> {
		for (let calm = 0; calm < 3; calm = this.#pending === 0 ? calm + 1 : 0) {
			await new Promise((resolve) => setImmediate(resolve));
		}
	}
}

class World implements Surroundings {
	readonly harness: Harness;
	readonly #watched: Watched;
	readonly topicId: string;
	readonly #isEager: boolean;
	coordinator: GroupCoordinator;
	readonly clients = new Map<number, Client>();
	/** The newest offset of each partition whose commit was acknowledged. */
	readonly committed = new Map<number, number>();
	#started = 0;
	#offset = 0;
	#epoch = -1;

	private constructor(harness: Harness, watched: Watched, topicId: string, isEager: boolean) {
		this.harness = harness;
		this.#watched = watched;
		this.topicId = topicId;
		this.#isEager = isEager;
		this.coordinator = harness.coordinator;
	}

	static async start(isEager: boolean): Promise<World> {
		const watched = new Watched();
		const harness = await start({ storage: watched.watch });
		await harness.coordinator.prepare();
		const { topic } = await harness.catalogue.create({ name: TOPIC, partitions: 5 });
		return new World(harness, watched, topic.topicId, isEager);
	}

	get partitionCount(): number {
		return this.harness.catalogue.get(TOPIC)!.partitions;
	}

	quiet(): Promise<void> {
		return this.#watched.quiet();
	}

	async run(action: Step): Promise<void> {
		const client = "who" in action ? this.clients.get(action.who) : undefined;
		switch (action.kind) {
			case "start":
				if (client === undefined) this.#start(action);
				break;
			case "act":
				await client?.act();
				break;
			case "all":
				await this.actAll();
				break;
			case "commit":
				await client?.act();
				if (client !== undefined) await this.#commit(client);
				break;
			case "leave":
				this.clients.delete(action.who);
				if (client !== undefined) client.isOver = true;
				await client?.leave().catch(expected);
				break;
			case "crash":
				if (client !== undefined) client.isOver = true;
				if (client !== undefined) client.owned = [];
				this.clients.delete(action.who);
				break;
			case "wait":
				this.harness.clock.advance(action.ms);
				break;
			case "grow": {
				const partitions = this.partitionCount + 1;
				if (partitions < 10) await this.harness.catalogue.alter(TOPIC, { partitions });
				break;
			}
			case "restart":
				this.coordinator.close();
				this.coordinator = await this.#another();
		}
		await this.quiet();
	}

	#start({ who: index, speaksClassic, isStatic }: Extract<Step, { kind: "start" }>): void {
		const instanceId = isStatic ? `instance-${index}` : null;
		const client = speaksClassic
			? new ClassicClient(this, instanceId, this.#isEager)
			: new ConsumerClient(this, instanceId, `consumer-${this.#started++}`);
		this.clients.set(index, client);
	}

	/** Everybody does what is next; who was fenced is gone. */
	async actAll(): Promise<void> {
		for (const [index, client] of [...this.clients]) {
			if (client.isOver) this.clients.delete(index);
			else await client.act();
		}
	}

	async #commit({ memberId, instanceId, epoch, owned }: Client): Promise<void> {
		const [partition] = owned;
		if (partition === undefined) return;
		const offset = ++this.#offset;
		const each = { partition, offset, leaderEpoch: -1, metadata: null };
		const request = commitRequest(0, {
			memberId,
			groupInstanceId: instanceId,
			generation: epoch,
			topics: [{ topic: TOPIC, partitions: [each] }],
		});
		const answer = await this.coordinator.commitOffsets(request).catch(expected);
		if (answer === undefined) return;
		expect(answer[0]!.partitions[0]!.code).toBe(0);
		this.committed.set(partition, offset);
	}

	/** A coordinator that has only what the log holds. */
	async #another(): Promise<GroupCoordinator> {
		const { storage, catalogue, clock } = this.harness;
		const complain = (details: object, message: string) => {
			throw new Error(`${message}: ${JSON.stringify(details)}`);
		};
		const coordinator = new GroupCoordinator({
			options: OPTIONS,
			configs: this.harness.coordinator.configs,
			storage: this.#watched.watch(storage),
			catalogue,
			clock,
			log: { debug: () => undefined, warn: complain, error: complain },
		});
		await coordinator.load();
		return coordinator;
	}

	async check(): Promise<void> {
		const image = imageOf(this.coordinator);
		if (image === null || image.state === "Empty") this.#epoch = -1;
		else {
			expect(image.epoch).toBeGreaterThanOrEqual(this.#epoch);
			this.#epoch = image.epoch;
		}
		const members = new Set(image?.members.map(({ memberId }) => memberId));
		const readers = new Map<number, string>();
		for (const { memberId, owned } of this.clients.values()) {
			// Who is out of the group does not know it yet.
			for (const partition of members.has(memberId) ? owned : []) {
				expect([partition, readers.get(partition) ?? memberId]).toEqual([partition, memberId]);
				readers.set(partition, memberId);
			}
		}
		expect(offsetsOf(this.coordinator)).toEqual(new Map([...this.committed].sort()));
		await this.#checkLog();
	}

	/** What the log adds up to is what there is. */
	async #checkLog(): Promise<void> {
		const image = imageOf(this.coordinator);
		const loaded = await this.#another();
		expect(offsetsOf(loaded)).toEqual(offsetsOf(this.coordinator));
		// A rebalance of a classic group is in memory alone, and so is one that nobody stored.
		const isRebalancing = image?.state.endsWith("ingRebalance") === true;
		if (!isRebalancing && image?.members.length !== 0) expect(imageOf(loaded)).toEqual(image);
		loaded.close();
	}

	/** What is assigned when nothing happens any more. */
	async settle(): Promise<void> {
		for (let round = 0; round < 160; round++) {
			if (round % 2 === 0) this.harness.clock.advance(1_000);
			await this.actAll();
		}
		const count = this.partitionCount;
		const read = [...this.clients.values()].flatMap(({ owned }) => owned);
		const all = Array.from({ length: this.clients.size === 0 ? 0 : count }, (_, index) => index);
		expect(read.sort((left, right) => left - right)).toEqual(all);
		const speaksNew = [...this.clients.values()].some((each) => each instanceof ConsumerClient);
		if (this.clients.size > 0) {
			expect(imageOf(this.coordinator)).toMatchObject({
				state: "Stable",
				type: speaksNew ? "consumer" : expect.stringMatching("classic|consumer"),
			});
		}
	}
}

/** What the group is, as far as both types and the log know it. */
function imageOf(coordinator: GroupCoordinator) {
	const [group] = coordinator.listGroups();
	if (group === undefined) return null;
	const byId = (left: { memberId: string }, right: { memberId: string }) =>
		left.memberId < right.memberId ? -1 : 1;
	if (group.type === "consumer") {
		const { epoch, state, assignmentEpoch, members } = coordinator.describeConsumerGroup("g");
		return { type: group.type, epoch, state, assignmentEpoch, members: [...members].sort(byId) };
	}
	const { generation, state, members } = coordinator.describeClassicGroup("g");
	const shown = members.map(({ memberId, groupInstanceId, assignment }) => ({
		memberId,
		groupInstanceId,
		assignment: Buffer.from(assignment).toString("hex"),
	}));
	return { type: group.type, epoch: generation, state, members: shown.sort(byId) };
}

function offsetsOf(coordinator: GroupCoordinator): Map<number, number> {
	const [topic] = coordinator.fetchOffsets({ groupId: "g", topics: null });
	const entries = topic?.partitions.map(({ partition, offset }) => [partition, offset] as const);
	return new Map([...(entries ?? [])].sort());
}

function expected(error: unknown): undefined {
	if (error instanceof MillraceError && EXPECTED.has(error.code)) return undefined;
	throw error;
}

test.each(["eager", "cooperative"])(
	`members of both protocols, the classic ones %s (seed ${seed})`,
	{ timeout: 900_000 },
	async (kind) => {
		const steps = fc.array(step, { minLength: 10, maxLength: 60, size: "max" });
		const property = fc.asyncProperty(steps, async (actions) => {
			const world = await World.start(kind === "eager");
			for (const action of actions) {
				await world.run(action);
				await world.check();
			}
			await world.settle();
			await world.check();
			await world.harness.stop();
		});
		await fc.assert(property, { seed, numRuns: 60 });
	},
);
