/**
 * What a consumer group is at a moment: members, who has which partition, epochs. Plain state that
 * is changed, stored, restored and shown; when it changes is `ConsumerGroup`'s matter.
 */
import { MillraceError } from "../errors.ts";
import { type Assignment, toTopicIdPartitions } from "./assignment.ts";
import type { StateBudget } from "./committed-offsets.ts";
import type { ConsumerMember, MemberProfile } from "./consumer-member.ts";
import {
	type ConsumerGroupImage,
	epochRecord,
	memberRecord,
	patternRecord,
	standingRecord,
	targetEpochRecord,
	targetRecord,
} from "./consumer-records.ts";
import type { ConsumerMemberDescription, NamedPartitions } from "./consumer-requests.ts";
import type { GroupRecord } from "./group.ts";
import { PartitionOwners } from "./partition-owners.ts";
import type { Standing } from "./reconciliation.ts";
import { type Subscription, Subscriptions } from "./subscriptions.ts";
import type { TopicLookup } from "./topic-lookup.ts";

/** Names as Kafka's tools show them. */
export type ConsumerStateName = "Empty" | "Assigning" | "Reconciling" | "Stable" | "Dead";

/** The epoch of a group that has never had a member: as in Kafka, the first one gets the next. */
export const EPOCH_FIRST = 1;

/** What a member costs beside what it holds: its objects, its timers, its places in maps. */
const MEMBER_BYTES = 1_500;

export class ConsumerState {
	readonly groupId: string;
	readonly subscriptions: Subscriptions;
	readonly owners = new PartitionOwners();
	epoch = EPOCH_FIRST;
	/** Epoch of the target assignment. */
	assignmentEpoch = EPOCH_FIRST;
	/** When it was computed, in milliseconds since 1970. */
	assignmentMs = 0;
	/** Of what there was to assign when the epoch was last raised. */
	metadataHash = 0;
	isDead = false;
	readonly #topics: TopicLookup;
	readonly #budget: StateBudget;
	readonly #members = new Map<string, ConsumerMember>();
	/** Member ids by group instance id. */
	readonly #instances = new Map<string, string>();
	/** What the records of patterns say; null: not known. */
	readonly #storedPatterns = new Map<string, ReadonlySet<string> | null>();
	/** Bytes that are counted for the group. */
	#bytes = 0;

	constructor(groupId: string, topics: TopicLookup, budget: StateBudget) {
		this.groupId = groupId;
		this.subscriptions = new Subscriptions(topics);
		this.#topics = topics;
		this.#budget = budget;
	}

	get name(): ConsumerStateName {
		if (this.isDead) return "Dead";
		if (this.#members.size === 0) return "Empty";
		if (this.epoch > this.assignmentEpoch) return "Assigning";
		for (const member of this.#members.values()) {
			if (!member.isReconciled(this.assignmentEpoch)) return "Reconciling";
		}
		return "Stable";
	}

	/** Whether anything of the group is in the log. */
	get isStored(): boolean {
		return this.epoch !== EPOCH_FIRST;
	}

	get bytes(): number {
		return this.#bytes;
	}

	// Members

	get size(): number {
		return this.#members.size;
	}

	/** In the order in which they became members. */
	members(): IterableIterator<ConsumerMember> {
		return this.#members.values();
	}

	get(memberId: string): ConsumerMember | undefined {
		return this.#members.get(memberId);
	}

	has(member: ConsumerMember): boolean {
		return this.#members.get(member.memberId) === member;
	}

	/** The member behind a group instance id. */
	staticMember(instanceId: string): ConsumerMember | undefined {
		return this.#members.get(this.#instances.get(instanceId) ?? "");
	}

	/** A partition of the member's that somebody else has is a bug, and throws. */
	add(member: ConsumerMember): void {
		this.#claim(member, member.standing);
		this.#enlist(member);
	}

	#enlist(member: ConsumerMember): void {
		this.#members.set(member.memberId, member);
		const { instanceId } = member.profile;
		if (instanceId !== null) this.#instances.set(instanceId, member.memberId);
	}

	/** Its subscription stays counted: whoever replaces it takes it over, or gives it back. */
	remove(member: ConsumerMember): void {
		const { memberId, profile } = member;
		member.end();
		this.#release(member);
		this.#members.delete(memberId);
		if (profile.instanceId !== null && this.#instances.get(profile.instanceId) === memberId) {
			this.#instances.delete(profile.instanceId);
		}
	}

	describeAs(member: ConsumerMember, profile: MemberProfile): void {
		member.profile = profile;
		if (profile.instanceId !== null) this.#instances.set(profile.instanceId, member.memberId);
	}

	move(member: ConsumerMember, standing: Standing): void {
		this.#release(member);
		this.#claim(member, standing);
		member.standing = standing;
	}

	#claim({ memberId }: ConsumerMember, { assigned, revoking }: Standing): void {
		this.owners.claim(assigned, memberId);
		this.owners.claim(revoking, memberId);
	}

	#release({ memberId, standing }: ConsumerMember): void {
		this.owners.release(standing.assigned, memberId);
		this.owners.release(standing.revoking, memberId);
	}

	/** Counts what the group holds, after it has changed. */
	count(): void {
		let bytes = this.subscriptions.bytes;
		for (const member of this.#members.values()) bytes += MEMBER_BYTES + member.bytes;
		if (this.isDead) bytes = 0;
		this.#budget.add(bytes - this.#bytes);
		this.#bytes = bytes;
	}

	// Records

	epochRecord(): GroupRecord {
		const { epoch, metadataHash } = this;
		return epochRecord(this.groupId, { epoch, metadataHash });
	}

	targetEpochRecord(): GroupRecord {
		const { assignmentEpoch, assignmentMs } = this;
		return targetEpochRecord(this.groupId, { assignmentEpoch, assignmentTimestamp: assignmentMs });
	}

	memberRecord({ memberId, profile }: ConsumerMember): GroupRecord {
		const { subscription, ...said } = profile;
		return memberRecord(this.groupId, memberId, {
			...said,
			subscribedTopicNames: subscription.names,
			subscribedTopicRegex: subscription.pattern,
			classicMemberMetadata: null,
		});
	}

	targetRecord({ memberId, target }: ConsumerMember): GroupRecord {
		return targetRecord(this.groupId, memberId, target);
	}

	standingRecord({ memberId, standing }: ConsumerMember): GroupRecord {
		return standingRecord(this.groupId, memberId, standing);
	}

	/** Those that remove a member. */
	tombstones({ memberId }: ConsumerMember): GroupRecord[] {
		return [
			standingRecord(this.groupId, memberId, null),
			targetRecord(this.groupId, memberId, null),
			memberRecord(this.groupId, memberId, null),
		];
	}

	/** Those of patterns that stand for something else than their records say. */
	changedPatterns(): GroupRecord[] {
		const records: GroupRecord[] = [];
		const current = new Map(this.subscriptions.patterns());
		for (const pattern of [...this.#storedPatterns.keys()]) {
			if (current.has(pattern)) continue;
			this.#storedPatterns.delete(pattern);
			records.push(patternRecord(this.groupId, pattern, null));
		}
		for (const [pattern, topics] of current) {
			if (this.#storedPatterns.get(pattern) === topics) continue;
			this.#storedPatterns.set(pattern, topics);
			records.push(this.#patternRecord(pattern, topics));
		}
		return records;
	}

	#patternRecord(pattern: string, topics: ReadonlySet<string>): GroupRecord {
		const value = { topics: [...topics], version: this.#topics.version, timestamp: 0 };
		return patternRecord(this.groupId, pattern, value);
	}

	/** All that restore the group, each as it is when it is asked for. */
	*records(): Generator<GroupRecord> {
		if (!this.isStored || this.isDead) return;
		yield this.epochRecord();
		yield this.targetEpochRecord();
		for (const member of this.#members.values()) {
			yield this.memberRecord(member);
			// Whoever takes them may have paused.
			if (this.has(member)) yield this.targetRecord(member);
			if (this.has(member)) yield this.standingRecord(member);
			if (this.isDead) return;
		}
		for (const [pattern, topics] of this.subscriptions.patterns()) {
			yield this.#patternRecord(pattern, topics);
			if (this.isDead) return;
		}
	}

	/** Those that remove the group. */
	allTombstones(): GroupRecord[] {
		if (!this.isStored) return [];
		const { groupId } = this;
		return [
			...Array.from(this.#members.values(), (member) => this.tombstones(member)).flat(),
			...Array.from(this.#storedPatterns.keys(), (each) => patternRecord(groupId, each, null)),
			targetEpochRecord(groupId, null),
			epochRecord(groupId, null),
		];
	}

	/**
	 * Takes over what the log says; `memberOf` makes the members, without a standing and a target.
	 * Answers those who cannot stay: somebody else has what is theirs, or they are ahead of the
	 * group. A write that failed before the broker stopped leaves such a log.
	 */
	restore(
		image: ConsumerGroupImage,
		memberOf: (memberId: string, profile: MemberProfile) => ConsumerMember,
	): ConsumerMember[] {
		const { epoch = EPOCH_FIRST } = image.epoch ?? {};
		this.metadataHash = image.epoch?.metadataHash ?? 0;
		this.assignmentEpoch = image.targetEpoch?.assignmentEpoch ?? EPOCH_FIRST;
		this.assignmentMs = image.targetEpoch?.assignmentTimestamp ?? 0;
		this.epoch = Math.max(epoch, this.assignmentEpoch);
		for (const pattern of image.patterns) this.#storedPatterns.set(pattern, null);
		const members = Array.from(image.members, ([memberId, value]) => {
			const { subscribedTopicNames, subscribedTopicRegex, ...said } = value;
			const subscription = this.#subscribe(subscribedTopicNames, subscribedTopicRegex ?? "");
			const member = memberOf(memberId, {
				instanceId: said.instanceId,
				rackId: said.rackId,
				clientId: said.clientId,
				clientHost: said.clientHost,
				rebalanceTimeoutMs: said.rebalanceTimeoutMs,
				serverAssignor: said.serverAssignor,
				subscription,
			});
			member.standing = image.standings.get(memberId) ?? member.standing;
			member.target = image.targets.get(memberId) ?? member.target;
			return member;
		});
		const lost = this.#claimInOrder(members);
		for (const member of members) {
			if (lost.includes(member)) this.subscriptions.give(member.profile.subscription);
			else this.#enlist(member);
		}
		this.count();
		return lost;
	}

	/** Whoever has the newest epoch first; answers those for whom nothing was left. */
	#claimInOrder(members: readonly ConsumerMember[]): ConsumerMember[] {
		const byEpoch = [...members].sort((left, right) => right.standing.epoch - left.standing.epoch);
		return byEpoch.filter((member) => {
			const { memberId, standing } = member;
			this.epoch = Math.max(this.epoch, standing.epoch);
			const mayStay =
				standing.epoch <= this.assignmentEpoch &&
				this.owners.mayClaim(standing.assigned, memberId) &&
				this.owners.mayClaim(standing.revoking, memberId);
			if (mayStay) this.#claim(member, standing);
			return !mayStay;
		});
	}

	/** A pattern that is none here, whoever wrote it, matches nothing. */
	#subscribe(names: readonly string[], pattern: string): Subscription {
		try {
			return this.subscriptions.take(names, pattern, null);
		} catch (error) {
			const isPattern =
				error instanceof MillraceError && error.code === "INVALID_REGULAR_EXPRESSION";
			if (!isPattern) throw error;
			return this.subscriptions.take(names, "", null);
		}
	}

	// Showing

	describeMembers(): ConsumerMemberDescription[] {
		return Array.from(this.#members.values(), ({ memberId, profile, standing, target }) => ({
			memberId,
			instanceId: profile.instanceId,
			rackId: profile.rackId,
			memberEpoch: standing.epoch,
			clientId: profile.clientId,
			clientHost: profile.clientHost,
			topicNames: profile.subscription.names,
			topicPattern: profile.subscription.pattern,
			assigned: this.#named(standing.assigned),
			target: this.#named(target),
			isClassic: false,
		}));
	}

	/** With the names of their topics; those that were deleted are left out. */
	#named(assignment: Assignment): NamedPartitions[] {
		return toTopicIdPartitions(assignment).flatMap(({ topicId, partitions }) => {
			const topic = this.#topics.byId(topicId)?.name;
			return topic === undefined ? [] : [{ topicId, topic, partitions }];
		});
	}
}
