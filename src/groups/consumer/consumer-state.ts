/**
 * What a consumer group is at a moment: members, who has which partition, epochs. Plain state that
 * is changed, stored, restored and shown; when it changes is `ConsumerGroup`'s matter.
 */
import { MillraceError } from "../../errors.ts";
import type { GroupRecord } from "../group.ts";
import type { ClassicMember, MemberDetails } from "../member.ts";
import { protocolBytes } from "../member-protocols.ts";
import type { ClassicImage, ConsumerImage } from "../migration.ts";
import type { StateBudget } from "../offsets/committed-offsets.ts";
import type { TopicLookup } from "../offsets/topic-lookup.ts";
import type { TopicPartitions } from "../requests.ts";
import {
	type Assignment,
	assignmentFrom,
	difference,
	NO_PARTITIONS,
	type TopicIdPartitions,
	toTopicIdPartitions,
	union,
} from "./assignment.ts";
import type { ClassicTraits, ConsumerMember, MemberProfile } from "./consumer-member.ts";
import { readAssignment, readSubscription } from "./consumer-protocol.ts";
import {
	type ConsumerGroupImage,
	epochRecord,
	memberRecord,
	patternRecord,
	type StoredMember,
	standingRecord,
	targetEpochRecord,
	targetRecord,
} from "./consumer-records.ts";
import type { ConsumerMemberDescription, NamedPartitions } from "./consumer-requests.ts";
import { PartitionOwners } from "./partition-owners.ts";
import type { Standing } from "./reconciliation.ts";
import { type Subscription, Subscriptions, unlessRefused } from "./subscriptions.ts";

/** Names as Kafka's tools show them. */
export type ConsumerStateName = "Empty" | "Assigning" | "Reconciling" | "Stable" | "Dead";

/** The epoch of a group that has never had a member: as in Kafka, the first one gets the next. */
export const EPOCH_FIRST = 1;

/**
 * Assignors whose data beside the partitions only says who had which before: librdkafka's puts it
 * into assignments, and Kafka takes such a group for one that has to stay classic.
 */
const STICKY_ASSIGNORS: ReadonlySet<string> = new Set(["sticky", "cooperative-sticky"]);

/** The hash of nothing that there is to assign. */
const HASH_NONE = -1;

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
	/** Whether anything of the group is in the log, or on its way there. */
	isStored = false;
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

	/**
	 * The member that an id, or of a static one both ids, name. Throws UNKNOWN_MEMBER_ID,
	 * FENCED_INSTANCE_ID.
	 */
	identify(memberId: string, instanceId: string | null): ConsumerMember {
		const member = instanceId === null ? this.get(memberId) : this.staticMember(instanceId);
		if (member === undefined) throw new MillraceError("UNKNOWN_MEMBER_ID", instanceId ?? memberId);
		if (member.memberId !== memberId) throw new MillraceError("FENCED_INSTANCE_ID", memberId);
		return member;
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

	// Members that speak the classic protocol

	/** Whether all members but these speak it, and have a protocol in common. */
	hasOnlyClassicBut(gone: readonly ConsumerMember[]): boolean {
		let count = 0;
		for (const member of this.#members.values()) {
			if (gone.includes(member)) continue;
			if (!member.isClassic) return false;
			count++;
		}
		if (count === 0) return true;
		return [...this.#protocolCounts(gone).values()].includes(count);
	}

	/** Whether a member with one of these protocols can be in the group with those that have some. */
	supportsAny(names: readonly string[]): boolean {
		let count = 0;
		for (const { isClassic } of this.#members.values()) if (isClassic) count++;
		if (count === 0) return names.length > 0;
		const counts = this.#protocolCounts([]);
		return names.some((name) => counts.get(name) === count);
	}

	/** How many members have each protocol. */
	#protocolCounts(gone: readonly ConsumerMember[]): Map<string, number> {
		const counts = new Map<string, number>();
		for (const member of this.#members.values()) {
			if (gone.includes(member)) continue;
			const names = new Set(member.profile.classic?.protocols.map(({ name }) => name));
			for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
		}
		return counts;
	}

	/** Bytes of what its members bring to choose a protocol from. */
	get classicBytes(): number {
		let bytes = 0;
		for (const { profile } of this.#members.values()) {
			if (profile.classic !== null) bytes += protocolBytes(profile.classic.protocols);
		}
		return bytes;
	}

	/** Whether all that a member should have and does not have is free. */
	isTargetFree({ target, standing }: ConsumerMember): boolean {
		for (const [topicId, partitions] of difference(target, standing.assigned)) {
			for (const partition of partitions) {
				if (!this.owners.isFree(topicId, partition)) return false;
			}
		}
		return true;
	}

	/** Takes the members of a classic group over; throws GROUP_ID_NOT_FOUND, as what cannot be. */
	adopt(
		{ generation, protocolName, isStable, members }: ConsumerImage,
		memberOf: (memberId: string, profile: MemberProfile) => ConsumerMember,
	): void {
		this.epoch = generation;
		this.assignmentEpoch = generation;
		this.isStored = true;
		for (const before of members) {
			const name = protocolName ?? before.protocols[0]?.name ?? "";
			const subscribed = readSubscription(before.metadata(name));
			if (subscribed === null) throw notConvertible(`${before.memberId} has no subscription`);
			const member = memberOf(before.memberId, {
				instanceId: before.groupInstanceId,
				rackId: subscribed.rackId,
				clientId: before.clientId,
				clientHost: before.clientHost,
				rebalanceTimeoutMs: before.rebalanceTimeoutMs,
				serverAssignor: null,
				subscription: this.subscriptions.take(subscribed.topics, "", null),
				classic: { sessionTimeoutMs: before.sessionTimeoutMs, protocols: before.protocols },
			});
			const assigned = this.#assignedTo(before, STICKY_ASSIGNORS.has(name));
			if (!this.owners.mayClaim(assigned, member.memberId)) {
				throw notConvertible(`${before.memberId} has what is another's`);
			}
			member.target = assigned;
			member.standing = {
				state: "stable",
				epoch: generation,
				previousEpoch: generation,
				assigned,
				revoking: NO_PARTITIONS,
				grants: [{ epoch: generation, partitions: assigned }],
			};
			this.add(member);
		}
		// Otherwise there is something to assign, as for topics that have changed. Kafka leaves it at
		// that, and partitions unread, when a static member takes its own place in the new protocol.
		const isSettled = isStable && this.#isAllAssigned();
		this.metadataHash = isSettled ? this.subscriptions.hash() : HASH_NONE;
		this.count();
	}

	/** Whether every partition that a member subscribes to is some member's. */
	#isAllAssigned(): boolean {
		const topics = new Map<string, number>();
		for (const { profile } of this.#members.values()) {
			for (const [id, count] of this.subscriptions.topicsOf(profile.subscription)) {
				topics.set(id, count);
			}
		}
		for (const [topicId, count] of topics) {
			for (let partition = 0; partition < count; partition++) {
				if (this.owners.isFree(topicId, partition)) return false;
			}
		}
		return true;
	}

	#assignedTo({ memberId, assignment }: ClassicMember, isSticky: boolean): Assignment {
		if (assignment.length === 0) return NO_PARTITIONS;
		const read = readAssignment(assignment);
		if (read === null) throw notConvertible(`the assignment of ${memberId} is none`);
		// What an assignor of the members' own has put there would be lost.
		if (!isSticky && read.userData !== null && read.userData.length > 0) {
			throw notConvertible(`the assignment of ${memberId} is its assignor's own`);
		}
		return assignmentFrom(this.identified(read.assignedPartitions));
	}

	/** What stores the members that were taken over; last the epoch, by which the group is there. */
	adoptedRecords(): GroupRecord[] {
		const members = Array.from(this.#members.values(), (member) => [
			this.memberRecord(member),
			this.targetRecord(member),
			this.standingRecord(member),
		]);
		return [...members.flat(), this.targetEpochRecord(), this.epochRecord()];
	}

	/** The members, who all speak the classic protocol, as a classic group takes them over. */
	toClassic(): ClassicImage {
		const members = Array.from(this.#members.values(), (member) => {
			const { memberId, profile, target, standing } = member;
			const { instanceId, clientId, clientHost, rebalanceTimeoutMs, classic } = profile;
			const details: MemberDetails = {
				groupInstanceId: instanceId,
				clientId,
				clientHost,
				rebalanceTimeoutMs,
				sessionTimeoutMs: classic?.sessionTimeoutMs ?? rebalanceTimeoutMs,
				protocols: classic?.protocols ?? [],
			};
			return { memberId, details, epoch: standing.epoch, assigned: this.named(target) };
		});
		return { generation: this.epoch, members };
	}

	/** Partitions of topics that there are, with the topics' ids. */
	identified(topics: readonly TopicPartitions<number>[]): TopicIdPartitions[] {
		return topics.flatMap(({ topic, partitions }) => {
			const known = this.#topics.get(topic);
			if (known === undefined) return [];
			const inTopic = (partition: number) => partition >= 0 && partition < known.partitions;
			return [{ topicId: known.topicId, partitions: partitions.filter(inTopic) }];
		});
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
		const { subscription, classic, ...said } = profile;
		return memberRecord(this.groupId, memberId, {
			...said,
			subscribedTopicNames: subscription.names,
			subscribedTopicRegex: subscription.pattern,
			classicMemberMetadata: classic && {
				sessionTimeoutMs: classic.sessionTimeoutMs,
				supportedProtocols: classic.protocols,
			},
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
			// By this one the group is gone, whatever follows.
			epochRecord(groupId, null),
			targetEpochRecord(groupId, null),
			...Array.from(this.#members.values(), (member) => this.tombstones(member)).flat(),
			...Array.from(this.#storedPatterns.keys(), (each) => patternRecord(groupId, each, null)),
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
		this.isStored = true;
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
				classic: classicTraits(said.classicMemberMetadata),
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
		return (
			unlessRefused(() => this.subscriptions.take(names, pattern, null)) ??
			this.subscriptions.take(names, "", null)
		);
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
			// Until it has given them up, those that it should are its own.
			assigned: this.named(union(standing.assigned, standing.revoking)),
			target: this.named(target),
			isClassic: profile.classic !== null,
		}));
	}

	/** With the names of their topics; those that were deleted are left out. */
	named(assignment: Assignment): NamedPartitions[] {
		return toTopicIdPartitions(assignment).flatMap(({ topicId, partitions }) => {
			const topic = this.#topics.byId(topicId)?.name;
			return topic === undefined ? [] : [{ topicId, topic, partitions }];
		});
	}
}

/** A member without any protocols cannot join: it is none that speaks the classic protocol. */
function classicTraits(stored: StoredMember["classicMemberMetadata"]): ClassicTraits | null {
	if (stored === null || stored.supportedProtocols.length === 0) return null;
	const { sessionTimeoutMs, supportedProtocols } = stored;
	return { sessionTimeoutMs, protocols: supportedProtocols };
}

/** As Kafka answers to a member of the consumer protocol whom a classic group cannot take in. */
function notConvertible(why: string): MillraceError {
	return new MillraceError("GROUP_ID_NOT_FOUND", `it cannot become a consumer group: ${why}`);
}
