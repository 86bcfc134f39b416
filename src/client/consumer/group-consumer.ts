import type { GroupNotices } from "../../protocol/calls.ts";
import { CODES } from "../../protocol/codes.ts";
import { codeName, MillraceError } from "../../protocol/error.ts";
import type { DecodedMap } from "../../protocol/reader.ts";
import { call } from "../admin.ts";
import { withSignal } from "../connection/abort.ts";
import type { Connection } from "../connection/connection.ts";
import { Consumer, type ConsumerContext } from "./consumer.ts";
import type { ConsumerOptions } from "./consumer-options.ts";
import { type Commit, GroupMember } from "./group-member.ts";
import {
	duration,
	type GroupConsumerOptions,
	type OffsetToCommit,
	subscribedTopics,
	type TopicPartition,
} from "./group-options.ts";
import type { Subscription } from "./subscription.ts";

const PROGRESS_TIMEOUT_MS = 300_000;
const AUTO_COMMIT_INTERVAL_MS = 5_000;

/** A commit before giving partitions up that fails for now is repeated after so long, in ms. */
const COMMIT_AGAIN_MS = 200;

/** Signs of progress within the time that the broker waits for one. */
const PROGRESS_SIGNS = 3;

/** What a partition of ours is, beside what a subscription knows. */
interface Owned<Value> {
	readonly subscription: Subscription<Value>;
	/** What the group has committed, as far as is known here. */
	committed: number | undefined;
	/** The application was told that it has it, and not that it has to give it up. */
	isTold: boolean;
	/** It is being given up. */
	isRevoked: boolean;
}

/** A commit, and whose it is here. */
type OwnCommit<Value> = Commit & { readonly owned?: Owned<Value> | undefined };

/**
 * A consumer that shares topics with the other members of its group. It is told which partitions to
 * read and to give up, and goes on where the group has committed. Made by
 * `client.consumer({ group })`.
 */
export class GroupConsumer<Value = unknown> extends Consumer<Value> {
	readonly #options: GroupConsumerOptions<Value>;
	readonly #member: GroupMember;
	readonly #progressTimeoutMs: number;
	readonly #autoCommitIntervalMs: number;
	/** By topic id and partition. */
	readonly #owned = new Map<string, Owned<Value>>();
	/** What it had before the connection was lost, until the broker says whose it is now. */
	#kept: ReadonlyMap<string, Owned<Value>> = new Map();
	/** Raised when everything is lost: what was begun before then is over. */
	#term = 0;
	/** What is done one after the other; never rejects. */
	#work: Promise<void> = Promise.resolve();
	#isCommitting = false;
	/** It has all that the group has for it. */
	#isSettled = false;
	#isFinished = false;
	readonly #timers: ReturnType<typeof setInterval>[] = [];
	#asksToldOf = 0;
	#closing: Promise<void> | undefined;
	/** The latest join, until it is answered and what follows from that is done; never rejects. */
	#joining: Promise<void> = Promise.resolve();
	/** Settles when it is a member and was told what it has. */
	#joined: { resolve(): void; reject(error: unknown): void } | undefined;

	/** @internal */
	constructor(context: ConsumerContext, options: GroupConsumerOptions<Value>) {
		super(context, plainOptions(options), []);
		this.#options = options;
		const { group, pattern, instanceId, assignor } = options;
		const topics = subscribedTopics(options as GroupConsumerOptions<never>);
		const { progressTimeoutMs, rebalanceTimeoutMs, autoCommitIntervalMs } = options;
		this.#progressTimeoutMs = duration(progressTimeoutMs, PROGRESS_TIMEOUT_MS, "progressTimeoutMs");
		this.#autoCommitIntervalMs = duration(
			autoCommitIntervalMs,
			AUTO_COMMIT_INTERVAL_MS,
			"autoCommitIntervalMs",
		);
		const terms = {
			group,
			topics,
			progress_timeout_ms: this.#progressTimeoutMs,
			rebalance_timeout_ms: duration(
				rebalanceTimeoutMs,
				this.#progressTimeoutMs,
				"rebalanceTimeoutMs",
			),
			...(pattern === undefined ? {} : { pattern }),
			...(instanceId === undefined ? {} : { instance_id: instanceId }),
			...(assignor === undefined ? {} : { assignor }),
		};
		this.#member = new GroupMember(terms, {
			assigned: (notice) => this.#assigned(notice),
			revoked: (notice) => this.#revoked(notice),
			lost: (error) => this.#lostMembership(error),
		});
	}

	/** The partitions that it reads at the moment. */
	assignment(): TopicPartition[] {
		return partitionsOf([...this.#owned.values()]);
	}

	/**
	 * Commits everything that the iterators have given out, also what is in hand: call it when
	 * that is dealt with. Or commits the offsets given, of its own partitions. Resolves when it is
	 * durable. Rejects with UNKNOWN_MEMBER_ID or STALE_MEMBER_EPOCH when the partitions are not its
	 * own any more - others read on from what was committed before - or with CONNECTION_LOST.
	 */
	async commit(offsets?: readonly OffsetToCommit[]): Promise<void> {
		const commits = offsets ?? this.#given();
		const failed = (await this.#commit(commits)).find(({ code }) => code !== CODES.NONE.code);
		if (failed !== undefined) {
			const { topic, partition } = failed;
			throw MillraceError.fromNumber(failed.code, "", { topic, partition });
		}
		if (offsets === undefined && this.hands.hasLost) {
			throw new MillraceError("STALE_MEMBER_EPOCH", "others read what is in hand again");
		}
	}

	/** What the group has committed of a partition; null: nothing. Asks the broker. */
	async committed(
		topic: string,
		partition: number,
	): Promise<{ offset: number; metadata: string } | null> {
		const { group, signal } = this.#options;
		const takes = { group, topics: [{ topic, partitions: [partition] }] };
		const options = signal === undefined ? {} : { signal };
		const answer = await call(this.context.link, "groups.committed", takes, options);
		const [found] = answer.topics[0]?.partitions ?? [];
		if (found === undefined || found.offset === null) return null;
		return { offset: found.offset, metadata: found.metadata };
	}

	/**
	 * Ends the iteration, commits what the application is done with (`autoCommit`), and leaves the
	 * group. What is in the application's hands is not committed: call `commit()` before, if it is
	 * dealt with. Rejects when the last commit failed, once the group is left. Not to be waited for
	 * in `onAssign` and `onRevoke`, which it waits for.
	 */
	override close(): Promise<void> {
		this.#closing ??= this.#leave({ isAtEnd: false });
		return this.#closing;
	}

	// The connection.

	/** @internal */
	override attached(connection: Connection): void {
		// Who was out of the group before, being stuck, joins when it goes on.
		if (this.onAsk === undefined) this.#join(connection);
	}

	/** @internal */
	detached(): void {
		this.#member.detach();
		// Others may read what is here by now: nothing more is given out until we know.
		this.isHalted = true;
	}

	/** @internal */
	notice(kind: string, details: DecodedMap): void {
		// Who is leaving takes nothing on, and has given up what it is told to.
		if (this.#closing === undefined) this.#member.notice(kind, details);
	}

	/** @internal */
	protected override async start(): Promise<void> {
		const { link } = this.context;
		await link.ready(this.#options.signal);
		if (!link.hello.features.includes("groups")) {
			throw new MillraceError("UNSUPPORTED_OPERATION", "this broker has no groups over WebSocket");
		}
		if (this.#isFinished) throw this.closedError();
		const joined = new Promise<void>((resolve, reject) => {
			this.#joined = { resolve, reject };
		});
		this.#startTimers();
		link.add(this); // and is told of the connection at once
		try {
			await withSignal(joined, this.#options.signal);
		} catch (error) {
			this.#stopTimers();
			link.remove(this);
			throw error;
		}
	}

	#join(connection: Connection): void {
		this.#joining = this.#joinOver(connection);
	}

	async #joinOver(connection: Connection): Promise<void> {
		const { link } = this.context;
		const isWanted = () =>
			link.connection === connection && this.#closing === undefined && !this.#isFinished;
		try {
			const isResumed = await this.#member.join(connection, isWanted);
			if (!isWanted()) {
				// It was closed meanwhile, when there was nothing to leave yet.
				await this.#member.leave();
				return;
			}
			if (isResumed) this.#keep();
			else this.#lose();
			this.goOn();
			this.#member.begin();
		} catch (error) {
			if (!isWanted() || (error as MillraceError).code === "CONNECTION_LOST") return;
			this.#fail(error);
		}
	}

	/** The broker has us as the member that we were: what it assigns and we were reading goes on. */
	#keep(): void {
		const isKept = ({ subscription, isRevoked }: Owned<Value>) => subscription.isOpen && !isRevoked;
		const kept = [...this.#owned].filter(([, owned]) => isKept(owned));
		const rest = [...this.#owned.values()].filter((owned) => !isKept(owned));
		this.#term++;
		this.#kept = new Map(kept);
		this.#owned.clear();
		this.#forget(rest);
	}

	/** Everything that it had is others'. */
	#lose(): void {
		this.#term++;
		const all = [...this.#owned.values(), ...this.#kept.values()];
		this.#owned.clear();
		this.#kept = new Map();
		this.#forget(all);
	}

	/** Reads partitions no more that are not its own any more, and says so. */
	#forget(lost: readonly Owned<Value>[]): void {
		if (lost.length === 0) return;
		this.#remove(lost);
		this.#inOrder(() => this.#tellRevoked(lost, true));
	}

	#remove(list: readonly Owned<Value>[]): void {
		for (const { subscription } of list) subscription.settle();
		this.remove(new Set(list.map(({ subscription }) => subscription)));
	}

	// What the broker tells.

	#assigned({ topics, settled }: GroupNotices["assign"]): void {
		this.#isSettled = settled;
		const added: Owned<Value>[] = [];
		const resumed = new Set<Owned<Value>>();
		for (const { topic, topic_id: topicId, partitions } of topics) {
			for (const { partition, offset } of partitions) {
				const key = keyOf(topicId, partition);
				const kept = this.#kept.get(key);
				const owned = kept ?? this.#own(topic, topicId, partition, offset);
				if (kept === undefined) added.push(owned);
				else resumed.add(owned);
				this.#owned.set(key, owned);
			}
		}
		const gone = [...this.#kept.values()].filter((owned) => !resumed.has(owned));
		this.#kept = new Map();
		this.#forget(gone);
		if (this.#owned.size > 0) this.shareCredit();
		for (const owned of resumed) this.#open(owned);
		this.#inTerm((term) => this.#begin(added, term));
	}

	#own(topic: string, topicId: string, partition: number, offset: number | null): Owned<Value> {
		const start = offset === null ? this.startOf(topic, partition) : { offset };
		const subscription = this.add({ name: topic, topicId }, partition, start);
		subscription.isOpen = false;
		return { subscription, committed: offset ?? undefined, isTold: false, isRevoked: false };
	}

	/** Begins to read what was assigned, once the application knows. */
	async #begin(added: readonly Owned<Value>[], term: number): Promise<void> {
		if (added.length > 0) {
			for (const owned of added) owned.isTold = true;
			await this.#options.onAssign?.(partitionsOf(added));
		}
		if (term !== this.#term) return;
		for (const owned of added) {
			if (owned.isRevoked) continue;
			owned.subscription.isOpen = true;
			this.#open(owned);
		}
		void Promise.all(added.map(({ subscription }) => subscription.settled)).then(() => {
			this.#joined?.resolve();
		});
		this.checkDone();
	}

	#open({ subscription }: Owned<Value>): void {
		const { connection } = this.context.link;
		if (connection !== undefined) void this.subscribe(subscription, connection);
	}

	#revoked(notice: GroupNotices["revoke"]): void {
		const revoked: Owned<Value>[] = [];
		for (const { topic_id: topicId, partitions } of notice.topics) {
			for (const partition of partitions) {
				const owned = this.#owned.get(keyOf(topicId, partition));
				if (owned === undefined) continue;
				owned.isRevoked = true;
				this.stop(owned.subscription);
				revoked.push(owned);
			}
		}
		this.#inTerm((term) => this.#giveUp(revoked, notice, term));
	}

	/** Finishes what is in hand, commits, and lets go. */
	async #giveUp(
		revoked: readonly Owned<Value>[],
		notice: GroupNotices["revoke"],
		term: number,
	): Promise<void> {
		await this.hands.drained(new Set(revoked.map(({ subscription }) => subscription)));
		if (term !== this.#term) return;
		await this.#tellRevoked(revoked, false);
		while (term === this.#term && !(await this.#isCommitted(revoked))) await pause(COMMIT_AGAIN_MS);
		if (term !== this.#term) return;
		for (const { subscription } of revoked) {
			this.#owned.delete(keyOf(subscription.topicId, subscription.partition));
		}
		this.#remove(revoked);
		if (this.#owned.size > 0) this.shareCredit();
		try {
			await this.#member.acknowledge(notice);
		} catch (error) {
			// Who is out of the group is told so, and a connection that is lost is told, too.
			if (!isOver(error)) throw error;
		}
		this.checkDone();
	}

	/** Whether the last commit of partitions has settled, well or for good. */
	async #isCommitted(revoked: readonly Owned<Value>[]): Promise<boolean> {
		if (this.#options.autoCommit === false) return true;
		try {
			await this.#commitFinished(revoked);
			return true;
		} catch (error) {
			if (isOver(error)) return true;
			if ((error as MillraceError).retriable) return false;
			throw error;
		}
	}

	async #tellRevoked(revoked: readonly Owned<Value>[], lost: boolean): Promise<void> {
		const told = revoked.filter(({ isTold }) => isTold);
		for (const owned of told) owned.isTold = false;
		if (told.length > 0) await this.#options.onRevoke?.(partitionsOf(told), { lost });
	}

	/** It is out of the group: it joins again when the application goes on. */
	#lostMembership(error: MillraceError): void {
		this.#lose();
		// Another has its static place: they would take it from each other for ever.
		if (error.code === "FENCED_INSTANCE_ID") {
			this.#fail(error);
			return;
		}
		const rejoin = () => {
			const { connection } = this.context.link;
			if (connection !== undefined) this.#join(connection);
		};
		if (this.isWaiting) rejoin();
		else this.onAsk = rejoin;
	}

	/** @internal A topic that is gone is about to be revoked. */
	protected override failedPartition(subscription: Subscription<Value>, error: Error): void {
		const code = error instanceof MillraceError ? error.code : undefined;
		if (code !== "TOPIC_DELETED" && code !== "UNKNOWN_TOPIC_OR_PARTITION") {
			super.failedPartition(subscription, error);
			return;
		}
		subscription.done = true;
		subscription.settle();
		this.checkDone();
	}

	/** What is over when everything is lost meanwhile. */
	#inTerm(work: (term: number) => Promise<void>): void {
		const term = this.#term;
		this.#inOrder(async () => {
			if (term === this.#term) await work(term);
		});
	}

	#inOrder(work: () => Promise<void>): void {
		this.#work = this.#work.then(work).catch((error: unknown) => this.#fail(error));
	}

	/** What makes going on pointless, or what the application's own functions throw. */
	#fail(error: unknown): void {
		const joined = this.#joined;
		if (joined !== undefined && this.#term === 0) joined.reject(error);
		else this.finish(error);
	}

	// Commits.

	/** What has been given out and is not committed. */
	#given(): OwnCommit<Value>[] {
		return this.#commitsOf(this.#owned.values(), (each) => this.countHands(each));
	}

	/** What the application is done with and is not committed. */
	#finished(owned: Iterable<Owned<Value>>): OwnCommit<Value>[] {
		return this.#commitsOf(owned, (each) => this.finishedOffset(each));
	}

	#commitsOf(
		list: Iterable<Owned<Value>>,
		offsetOf: (subscription: Subscription<Value>) => number | undefined,
	): OwnCommit<Value>[] {
		const commits: OwnCommit<Value>[] = [];
		for (const owned of list) {
			const offset = offsetOf(owned.subscription);
			if (offset === undefined || offset === owned.committed) continue;
			commits.push({ ...partitionOf(owned.subscription), offset, owned });
		}
		return commits;
	}

	async #commitFinished(list: Iterable<Owned<Value>>): Promise<void> {
		const commits = this.#finished(list);
		if (commits.length === 0) return;
		for (const { code, topic, partition } of await this.#commit(commits)) {
			const name = codeName(code);
			// Nobody's any more, or somebody else's.
			const isGone = name === "STALE_MEMBER_EPOCH" || name === "UNKNOWN_TOPIC_OR_PARTITION";
			if (name !== "NONE" && !isGone) throw new MillraceError(name, "", { topic, partition });
		}
	}

	async #commit(commits: readonly OwnCommit<Value>[]) {
		const committed = await this.#member.commit(commits);
		for (const [index, { code, offset, topic, partition }] of committed.entries()) {
			if (code !== CODES.NONE.code) continue;
			const owned = commits[index]?.owned ?? this.#find(topic, partition);
			if (owned !== undefined) owned.committed = offset;
		}
		return committed;
	}

	#find(topic: string, partition: number): Owned<Value> | undefined {
		for (const owned of this.#owned.values()) {
			const { subscription } = owned;
			if (subscription.topic === topic && subscription.partition === partition) return owned;
		}
		return undefined;
	}

	// What time brings about.

	#startTimers(): void {
		const progressMs = Math.ceil(this.#progressTimeoutMs / PROGRESS_SIGNS);
		this.#timers.push(setInterval(() => this.#tellProgress(), progressMs));
		if (this.#options.autoCommit === false) return;
		this.#timers.push(setInterval(() => this.#commitByItself(), this.#autoCommitIntervalMs));
	}

	#stopTimers(): void {
		for (const timer of this.#timers.splice(0)) clearInterval(timer);
	}

	/** Only while the application gets on: else the broker is to give its partitions to others. */
	#tellProgress(): void {
		const { askCount } = this.hands;
		const isGettingOn = this.isWaiting || askCount !== this.#asksToldOf;
		if (!isGettingOn || !this.#member.isMember) return;
		this.#asksToldOf = askCount;
		// Who is out of the group, or without a connection, is told so.
		this.#member.progress().catch(() => undefined);
	}

	#commitByItself(): void {
		if (this.#isCommitting || !this.#member.isMember) return;
		this.#isCommitting = true;
		this.#commitFinished(this.#owned.values())
			.catch((error: unknown) => {
				// What is retriable is tried again with the next interval.
				if (!isOver(error) && !(error as MillraceError).retriable) this.#fail(error);
			})
			.finally(() => {
				this.#isCommitting = false;
			});
	}

	// The end.

	/** @internal */
	protected override checkDone(): void {
		if (this.#options.until === "end" && this.#isSettled) super.checkDone();
	}

	/** @internal */
	protected override allDone(): void {
		this.#closing ??= this.#leave({ isAtEnd: true });
		this.#closing.catch(() => undefined); // the loop tells of it
	}

	/** `isAtEnd`: nobody waits for it but the loop that has read everything. */
	async #leave({ isAtEnd }: { isAtEnd: boolean }): Promise<void> {
		this.isHalted = true;
		// What was begun and waits is given up, but for functions of the application that are running.
		this.#term++;
		this.hands.release();
		const failures: unknown[] = [];
		const all = [...this.#owned.values()];
		await this.#work
			.then(() => this.#tellRevoked(all, !this.#member.isMember))
			.then(() => this.#commitAtEnd(all))
			.catch((error: unknown) => failures.push(error));
		// Who joins leaves as soon as that is answered.
		await this.#joining;
		if (this.#member.isMember) {
			await this.#member.leave().catch((error: unknown) => {
				if (!isOver(error)) failures.push(error);
			});
		}
		this.finish(isAtEnd ? failures[0] : undefined);
		if (failures.length > 0) throw failures[0];
	}

	async #commitAtEnd(all: readonly Owned<Value>[]): Promise<void> {
		const mayCommit = this.#options.autoCommit !== false && this.#member.isMember;
		if (mayCommit) await this.#commitFinished(all);
	}

	/** @internal */
	protected override finish(error: unknown): void {
		if (this.#isFinished) return;
		this.#isFinished = true;
		const mayCommit = this.#closing === undefined && this.#options.autoCommit !== false;
		const commits = mayCommit ? this.#finished(this.#owned.values()) : [];
		super.finish(error);
		this.#term++;
		this.#stopTimers();
		this.#joined?.reject(error ?? new MillraceError("CLOSED", "the consumer"));
		if (this.#closing !== undefined || !this.#member.isMember) return;
		// It ends with an error, which is what the application is told.
		this.#closing = this.#commit(commits)
			.catch(() => undefined)
			.then(() => this.#member.leave())
			.catch(() => undefined);
	}
}

/** Whether an error says that the membership, or the connection that held it, is over. */
function isOver(error: unknown): boolean {
	const code = error instanceof MillraceError ? error.code : undefined;
	return code === "UNKNOWN_MEMBER_ID" || code === "CONNECTION_LOST" || code === "CLOSED";
}

function keyOf(topicId: string, partition: number): string {
	return `${topicId}/${partition}`;
}

function partitionOf({ topic, partition }: Subscription<unknown>): TopicPartition {
	return { topic, partition };
}

function partitionsOf(list: readonly Owned<unknown>[]): TopicPartition[] {
	return list.map(({ subscription }) => partitionOf(subscription));
}

function pause(milliseconds: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** The options as a consumer without a group has them. */
function plainOptions<Value>(options: GroupConsumerOptions<Value>): ConsumerOptions<Value> {
	const { from = "latest" } = options;
	const atOutOfRange = from === "earliest" || from === "latest" ? from : "error";
	return { onOutOfRange: atOutOfRange, ...options, topics: [] };
}
