import type {
	AclFilter,
	AclRule,
	BrokerConfigEntry,
	CallAnswer,
	CallArguments,
	CallName,
	ClientDescription,
	GroupDescription,
	GroupSummary,
	OffsetMove,
	PartitionOffsets,
	QuotaEntry,
	QuotaTarget,
	ThrottledClient,
	TopicDescription,
	TopicSummary,
	UserDescription,
} from "../protocol/calls.ts";
import { OPERATION } from "../protocol/operations.ts";
import type { FrameValue } from "../protocol/writer.ts";
import type { Link } from "./connection/link.ts";

/** Options of every request: an aborted one may have been carried out all the same. */
export interface RequestOptions {
	readonly signal?: AbortSignal;
}

export interface VerifyOptions extends RequestOptions {
	/** Called after each step with what it checked. */
	readonly onStep?: (step: { records: number; bytes: number }) => void;
}

/** What checking a partition found. */
export interface VerifiedPartition {
	/** Records and bytes of the batches that are whole. */
	records: number;
	bytes: number;
	/** What is wrong and where, for people; empty: nothing is. */
	findings: string[];
}

export interface CreateTopicOptions extends RequestOptions {
	/** Default: the broker's `num.partitions`. */
	readonly partitions?: number;
	/** By Kafka's names; numbers and booleans are written out, bigint where 2^53 is not enough. */
	readonly configs?: Readonly<Record<string, string | number | bigint | boolean>>;
	/** An existing topic of that name is not an error. */
	readonly ifNotExists?: boolean;
	/** Check everything and create nothing. */
	readonly validateOnly?: boolean;
}

/**
 * Makes one call; rejects with the broker's MillraceError, or CONNECTION_LOST when no answer came.
 */
export async function call<Name extends CallName>(
	link: Link,
	name: Name,
	takes: CallArguments<Name>,
	options: RequestOptions = {},
): Promise<CallAnswer<Name>> {
	const fields = [name, takes as unknown as FrameValue];
	const answer = await link.request(OPERATION.call, fields, options.signal);
	return answer as unknown as CallAnswer<Name>;
}

/** `client.topics` */
export class Topics {
	readonly #link: Link;

	/** @internal */
	constructor(link: Link) {
		this.#link = link;
	}

	/**
	 * Creates a topic; `created` is false where it was there already (`ifNotExists`) or only checked.
	 */
	async create(
		name: string,
		options: CreateTopicOptions = {},
	): Promise<{ created: boolean; topic: TopicDescription | null }> {
		const { partitions, configs, ifNotExists, validateOnly } = options;
		const takes: CallArguments<"topics.create"> = { name };
		if (partitions !== undefined) takes.partitions = partitions;
		if (configs !== undefined) takes.configs = written(configs) as Record<string, string>;
		if (ifNotExists !== undefined) takes.if_not_exists = ifNotExists;
		if (validateOnly !== undefined) takes.validate_only = validateOnly;
		return await call(this.#link, "topics.create", takes, options);
	}

	/** All topics, in the order of their names. */
	async list(
		options: RequestOptions & {
			/** Also those that the broker keeps for itself. */
			internal?: boolean;
		} = {},
	): Promise<TopicSummary[]> {
		const itemsOf = ({ topics }: CallAnswer<"topics.list">): TopicSummary[] => topics;
		const internal = options.internal === undefined ? {} : { internal: options.internal };
		return await listAll(this.#link, "topics.list", internal, itemsOf, ({ name }) => name, options);
	}

	async describe(name: string, options: RequestOptions = {}): Promise<TopicDescription> {
		return (await call(this.#link, "topics.describe", { name }, options)).topic;
	}

	/** Sets configuration; null goes back to what the broker or the default says. Others stay. */
	async alter(
		name: string,
		configs: Readonly<Record<string, string | number | bigint | boolean | null>>,
		options: RequestOptions & { validateOnly?: boolean } = {},
	): Promise<TopicDescription> {
		const takes: CallArguments<"topics.alter"> = { name, configs: written(configs) };
		if (options.validateOnly !== undefined) takes.validate_only = options.validateOnly;
		return (await call(this.#link, "topics.alter", takes, options)).topic;
	}

	/** Grows a topic to `partitions`. Keys may then belong to other partitions than before. */
	async addPartitions(
		name: string,
		partitions: number,
		options: RequestOptions = {},
	): Promise<TopicDescription> {
		const takes = { name, partitions };
		return (await call(this.#link, "topics.add_partitions", takes, options)).topic;
	}

	/**
	 * Has the broker read all of a partition from its disk and check it, step by step. What is
	 * damaged is served around from then on.
	 */
	async verify(
		name: string,
		partition: number,
		options: VerifyOptions = {},
	): Promise<VerifiedPartition> {
		const verified: VerifiedPartition = { records: 0, bytes: 0, findings: [] };
		let from: number | null = 0;
		while (from !== null) {
			const takes: CallArguments<"verify.partition"> = {
				topic: name,
				partition,
				from_offset: from,
			};
			const step: CallAnswer<"verify.partition"> = await call(
				this.#link,
				"verify.partition",
				takes,
				options,
			);
			verified.records += step.records;
			verified.bytes += step.bytes;
			verified.findings.push(...step.findings);
			options.onStep?.({ records: step.records, bytes: step.bytes });
			from = step.next_offset;
		}
		return verified;
	}

	/** Deletes a topic with its records; its name is free when this resolves. */
	async delete(name: string, options: RequestOptions = {}): Promise<{ topicId: string }> {
		const { topic_id: topicId } = await call(this.#link, "topics.delete", { name }, options);
		return { topicId };
	}
}

/** `client.offsets` */
export class Offsets {
	readonly #link: Link;

	/** @internal */
	constructor(link: Link) {
		this.#link = link;
	}

	/**
	 * Offset of an end of the log, or of the first record at or after a time (null: none is that
	 * young).
	 */
	async find(
		topic: string,
		partition: number,
		at: "earliest" | "latest" | { timestamp: number | Date },
		options: RequestOptions = {},
	): Promise<number | null> {
		const position = typeof at === "string" ? at : { timestamp_ms: Number(at.timestamp) };
		const takes: CallArguments<"offsets.list"> = { topic, partition, at: position };
		return (await call(this.#link, "offsets.list", takes, options)).offset;
	}

	/** The ends of every partition of a topic. */
	async describe(topic: string, options: RequestOptions = {}): Promise<PartitionOffsets[]> {
		return (await call(this.#link, "offsets.describe", { topic }, options)).partitions;
	}
}

/** Where to put a group's offsets. */
export type ResetPosition =
	| "earliest"
	| "latest"
	| { readonly offset: number }
	| { readonly timestamp: number | Date }
	/** So many records on from where the group is; negative: back. */
	| { readonly shift: number };

export interface ResetOffsetsOptions extends RequestOptions {
	/** Only this topic; default: every partition that the group has committed. */
	readonly topic?: string;
	/** Only this partition of `topic`. */
	readonly partition?: number;
	/** Say what would be done and do nothing. */
	readonly dryRun?: boolean;
}

/** `client.groups` */
export class Groups {
	readonly #link: Link;

	/** @internal */
	constructor(link: Link) {
		this.#link = link;
	}

	/** All groups, in the order of their names. */
	async list(options: RequestOptions = {}): Promise<GroupSummary[]> {
		const itemsOf = ({ groups }: CallAnswer<"groups.list">): GroupSummary[] => groups;
		return await listAll(this.#link, "groups.list", {}, itemsOf, ({ group }) => group, options);
	}

	/** Members, committed offsets, and how far behind the group is, in records and in time. */
	async describe(group: string, options: RequestOptions = {}): Promise<GroupDescription> {
		return (await call(this.#link, "groups.describe", { group }, options)).group;
	}

	/**
	 * Moves committed offsets, durably; resolves to what was moved, or would be (`dryRun`). Rejects
	 * with NON_EMPTY_GROUP while the group has members. A group that does not exist begins with them.
	 */
	async resetOffsets(
		group: string,
		to: ResetPosition,
		options: ResetOffsetsOptions = {},
	): Promise<OffsetMove[]> {
		const { topic, partition, dryRun } = options;
		const position =
			typeof to === "object" && "timestamp" in to ? { timestamp_ms: Number(to.timestamp) } : to;
		const takes: CallArguments<"groups.reset_offsets"> = { group, to: position };
		if (topic !== undefined) takes.topic = topic;
		if (partition !== undefined) takes.partition = partition;
		if (dryRun !== undefined) takes.dry_run = dryRun;
		return (await call(this.#link, "groups.reset_offsets", takes, options)).moves;
	}

	/** Deletes a group without members, with its offsets. Rejects with NON_EMPTY_GROUP. */
	async delete(group: string, options: RequestOptions = {}): Promise<void> {
		await call(this.#link, "groups.delete", { group }, options);
	}
}

/** `client.acls`: access rules, where the broker follows them; else SECURITY_DISABLED. */
export class Acls {
	readonly #link: Link;

	/** @internal */
	constructor(link: Link) {
		this.#link = link;
	}

	/** The rules that a filter names; what it leaves out matches everything. */
	async list(filter: AclFilter = {}, options: RequestOptions = {}): Promise<AclRule[]> {
		return listPages(this.#link, "acls.list", filter, ({ acls }) => acls, options);
	}

	/** Adds rules, 1,000 at most; they are in force when this resolves. */
	async create(acls: AclRule[], options: RequestOptions = {}): Promise<void> {
		await call(this.#link, "acls.create", { acls }, options);
	}

	/** Removes the rules that a filter names; resolves to how many there were. */
	async delete(filter: AclFilter, options: RequestOptions = {}): Promise<number> {
		return (await call(this.#link, "acls.delete", filter, options)).deleted;
	}
}

/** `client.quotas`: what users and clients may do a second. */
export class Quotas {
	readonly #link: Link;

	/** @internal */
	constructor(link: Link) {
		this.#link = link;
	}

	/** The quotas of a user or client id, or all; "" is the default. */
	async list(target: QuotaTarget = {}, options: RequestOptions = {}): Promise<QuotaEntry[]> {
		return listPages(this.#link, "quotas.list", target, ({ quotas }) => quotas, options);
	}

	/** Sets quotas by their names, null removes one; they are in force when this resolves. */
	async set(
		target: QuotaTarget,
		rates: Readonly<Record<string, number | null>>,
		options: RequestOptions = {},
	): Promise<void> {
		await call(this.#link, "quotas.set", { ...target, rates: { ...rates } }, options);
	}

	/** Connections of any protocol that wait now, and because of what; at most 1,000. */
	async throttled(options: RequestOptions = {}): Promise<ThrottledClient[]> {
		return (await call(this.#link, "quotas.throttled", {}, options)).clients;
	}
}

/** `client.users`: those who may log in with a password. */
export class Users {
	readonly #link: Link;

	/** @internal */
	constructor(link: Link) {
		this.#link = link;
	}

	/** All users, in the order of their names; nothing of their passwords. */
	async list(options: RequestOptions = {}): Promise<UserDescription[]> {
		const itemsOf = ({ users }: CallAnswer<"users.list">): UserDescription[] => users;
		return await listAll(this.#link, "users.list", {}, itemsOf, ({ user }) => user, options);
	}

	/**
	 * Makes a user, or gives one another password; it counts when this resolves. Connections that are
	 * open go on. Rejects with UNACCEPTABLE_CREDENTIAL for a password that is empty or too long.
	 */
	async set(user: string, password: string, options: RequestOptions = {}): Promise<void> {
		await call(this.#link, "users.set", { user, password }, options);
	}

	/** Deletes a user, who cannot log in any more. Rejects with RESOURCE_NOT_FOUND. */
	async delete(user: string, options: RequestOptions = {}): Promise<void> {
		await call(this.#link, "users.delete", { user }, options);
	}
}

/** `client.configs`: settings of the broker, by the names of its options. */
export class Configs {
	readonly #link: Link;

	/** @internal */
	constructor(link: Link) {
		this.#link = link;
	}

	/** All settings, in the order of their names. */
	async describe(options: RequestOptions = {}): Promise<BrokerConfigEntry[]> {
		return (await call(this.#link, "configs.describe", {}, options)).configs;
	}

	/**
	 * Sets what can be set while the broker runs; null goes back to what flags, environment, file or
	 * default say. All changes are made or none; they are in force when this resolves, to what there
	 * is then. Rejects with INVALID_REQUEST for what cannot be set so, or not to that value.
	 */
	async alter(
		configs: Readonly<Record<string, string | number | bigint | boolean | null>>,
		options: RequestOptions & {
			/** For this broker, which wins, or for all of the cluster; default: "broker". */
			level?: "broker" | "cluster";
			/** Check everything and change nothing. */
			validateOnly?: boolean;
		} = {},
	): Promise<BrokerConfigEntry[]> {
		const { level, validateOnly } = options;
		const takes: CallArguments<"configs.alter"> = { configs: written(configs) };
		if (level !== undefined) takes.level = level;
		if (validateOnly !== undefined) takes.validate_only = validateOnly;
		return (await call(this.#link, "configs.alter", takes, options)).configs;
	}
}

/** `client.clients`: who is connected to the broker, over both protocols. */
export class Clients {
	readonly #link: Link;

	/** @internal */
	constructor(link: Link) {
		this.#link = link;
	}

	/** All clients, or those that are slow, in the order in which they connected. */
	async list(options: RequestOptions & { slow?: boolean } = {}): Promise<ClientDescription[]> {
		const itemsOf = ({ clients }: CallAnswer<"clients.list">): ClientDescription[] => clients;
		const slow = options.slow === undefined ? {} : { slow: options.slow };
		return await listAll(this.#link, "clients.list", slow, itemsOf, ({ id }) => id, options);
	}
}

/** A whole list, page by page: each is asked for behind the last name, or id, of the one before. */
async function listAll<
	Name extends "topics.list" | "groups.list" | "users.list" | "clients.list",
	Item,
>(
	link: Link,
	list: Name,
	always: CallArguments<Name>,
	itemsOf: (answer: CallAnswer<Name>) => Item[],
	nameOf: (item: Item) => string | number,
	options: RequestOptions,
): Promise<Item[]> {
	const all: Item[] = [];
	for (;;) {
		const last = all.at(-1);
		const takes: CallArguments<Name> =
			last === undefined ? always : { ...always, after: nameOf(last) };
		const answer = await call(link, list, takes, options);
		const items = itemsOf(answer);
		all.push(...items);
		if (!answer.more || items.length === 0) return all;
	}
}

/** The same where each page says what the next one is asked for by. */
async function listPages<Name extends "acls.list" | "quotas.list", Item>(
	link: Link,
	list: Name,
	always: CallArguments<Name>,
	itemsOf: (answer: CallAnswer<Name>) => Item[],
	options: RequestOptions,
): Promise<Item[]> {
	const all: Item[] = [];
	let takes = always;
	for (;;) {
		const answer = await call(link, list, takes, options);
		all.push(...itemsOf(answer));
		if (answer.next === null) return all;
		takes = { ...always, after: answer.next };
	}
}

function written(
	configs: Readonly<Record<string, string | number | bigint | boolean | null>>,
): Record<string, string | null> {
	const entries = Object.entries(configs);
	return Object.fromEntries(
		entries.map(([name, value]) => [name, value === null ? null : String(value)]),
	);
}
