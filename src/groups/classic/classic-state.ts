/**
 * What a classic group is at a moment: members, generation, the protocol they agreed on. Plain
 * state that is changed, stored, restored and shown; when it changes is `ClassicGroup`'s matter.
 */
import type { GroupMetadataValue } from "../../kafka/generated/data-group-metadata.ts";
import type { CodeName } from "../../protocol/codes.ts";
import {
	CONSUMER_PROTOCOL_TYPE,
	subscribedTopics,
	writeAssignment,
} from "../consumer/consumer-protocol.ts";
import type { ClassicMember, MemberDetails } from "../member.ts";
import type { ClassicImage } from "../migration.ts";
import type { CommittedOffset, StateBudget } from "../offsets/committed-offsets.ts";
import type {
	ClassicGroupDescription,
	JoinAnswer,
	MemberIdentity,
	SyncAnswer,
} from "../requests.ts";
import { ClassicMembers } from "./classic-members.ts";

/** Names as Kafka's tools show them. */
export type ClassicStateName =
	| "Empty"
	| "PreparingRebalance"
	| "CompletingRebalance"
	| "Stable"
	| "Dead";

/** Kafka's generations are int32. */
const GENERATION_MAX = 0x7fff_ffff;

export class ClassicState {
	readonly members: ClassicMembers;
	#name: ClassicStateName = "Empty";
	/** When the state was entered, in milliseconds since 1970. */
	#sinceMs: number;
	#generation = 0;
	/** Null: nobody ever joined. */
	protocolType: string | null = null;
	#protocolName: string | null = null;
	/** What the members subscribe to; null: unknown, or they are no Kafka consumers. */
	#topics: ReadonlySet<string> | null = null;

	constructor(budget: StateBudget, nowMs: number) {
		this.members = new ClassicMembers(budget);
		this.#sinceMs = nowMs;
	}

	get name(): ClassicStateName {
		return this.#name;
	}

	get generation(): number {
		return this.#generation;
	}

	get protocolName(): string | null {
		return this.#protocolName;
	}

	enter(name: ClassicStateName, nowMs: number): void {
		this.#name = name;
		this.#sinceMs = nowMs;
	}

	/** Those who are members now, with a protocol that they have in common. */
	nextGeneration(): void {
		this.#generation = this.#generation === GENERATION_MAX ? 1 : this.#generation + 1;
		this.#protocolName = this.members.selectProtocol();
		for (const member of this.members) member.generationBefore = null;
		this.#updateTopics();
	}

	isLeader(memberId: string): boolean {
		return this.members.leader === memberId;
	}

	/** Why somebody is not a member of this group, or not any more; null when it is one. */
	refusal(member: Pick<MemberIdentity, "groupInstanceId" | "memberId">): CodeName | null {
		const { memberId, groupInstanceId } = member;
		if (groupInstanceId !== null) {
			const staticId = this.members.staticId(groupInstanceId);
			if (staticId === undefined) return "UNKNOWN_MEMBER_ID";
			if (staticId !== memberId) return "FENCED_INSTANCE_ID";
		}
		return this.members.has(memberId) ? null : "UNKNOWN_MEMBER_ID";
	}

	/**
	 * Whether a member's generation is the group's. Who was in a consumer group before has another
	 * until it has joined the rebalance that follows, to which all are called; what it read it may
	 * commit until then.
	 */
	isCurrent(memberId: string, generation: number): boolean {
		if (generation === this.#generation) return true;
		const isBefore = this.members.get(memberId)?.generationBefore === generation;
		return isBefore && this.#name === "PreparingRebalance";
	}

	/** What a member is told of the generation. */
	joinAnswer({ memberId }: ClassicMember): JoinAnswer {
		const protocolName = this.#protocolName;
		return {
			memberId,
			generation: this.#generation,
			protocolType: this.protocolType,
			protocolName,
			leader: this.members.leader ?? "",
			skipAssignment: false,
			members: this.isLeader(memberId)
				? Array.from(this.members, (each) => each.joined(protocolName))
				: [],
		};
	}

	syncAnswer({ assignment }: ClassicMember): SyncAnswer {
		return { protocolType: this.protocolType, protocolName: this.#protocolName, assignment };
	}

	/** Whether a member is subscribed to the topic; consumers of whom that is not known may be. */
	isSubscribedTo(topic: string): boolean {
		return this.#topics?.has(topic) ?? this.protocolType === CONSUMER_PROTOCOL_TYPE;
	}

	/** From when an offset's retention counts, in milliseconds since 1970; null: it does not. */
	retentionStartMs({ commitMs }: CommittedOffset): number | null {
		// Without members ever: each offset ages by itself.
		if (this.protocolType === null) return commitMs;
		if (this.#name === "Empty") return this.#sinceMs;
		return this.#name === "Stable" && this.#topics !== null ? commitMs : null;
	}

	#updateTopics(): void {
		this.#topics = null;
		if (this.protocolType !== CONSUMER_PROTOCOL_TYPE) return;
		const topics = new Set<string>();
		for (const member of this.members) {
			const subscribed = subscribedTopics(member.metadata(this.#protocolName));
			if (subscribed === null) return;
			for (const topic of subscribed) topics.add(topic);
		}
		this.#topics = topics;
	}

	describe(groupId: string): ClassicGroupDescription {
		// Before it is stable, nothing is in force.
		const protocolName = this.#name === "Stable" ? this.#protocolName : null;
		return {
			groupId,
			type: "classic",
			state: this.#name,
			protocolType: this.protocolType ?? "",
			protocolName: protocolName ?? "",
			generation: this.#generation,
			leader: this.members.leader,
			members: Array.from(this.members, (member) => ({
				memberId: member.memberId,
				groupInstanceId: member.groupInstanceId,
				clientId: member.clientId,
				clientHost: member.clientHost,
				metadata: member.metadata(protocolName),
				assignment: member.assignment,
			})),
		};
	}

	/** The group as its record holds it, with these assignments. */
	toMetadata(assignmentOf: (member: ClassicMember) => Uint8Array): GroupMetadataValue {
		return {
			protocolType: this.protocolType ?? "",
			generation: this.#generation,
			protocol: this.#protocolName,
			leader: this.members.leader,
			currentStateTimestamp: this.#sinceMs,
			members: Array.from(this.members, (member) => ({
				memberId: member.memberId,
				groupInstanceId: member.groupInstanceId,
				clientId: member.clientId,
				clientHost: member.clientHost,
				rebalanceTimeout: member.rebalanceTimeoutMs,
				sessionTimeout: member.sessionTimeoutMs,
				subscription: member.metadata(this.#protocolName),
				assignment: assignmentOf(member),
			})),
		};
	}

	/** Takes over the members of a consumer group; they are made by `memberOf`. */
	adopt(
		{ generation, members }: ClassicImage,
		memberOf: (memberId: string, details: MemberDetails) => ClassicMember,
	): void {
		this.#generation = generation;
		this.protocolType = CONSUMER_PROTOCOL_TYPE;
		for (const { memberId, details, epoch } of members) {
			const member = memberOf(memberId, details);
			member.generationBefore = epoch;
			this.members.add(member);
		}
		this.#protocolName = this.members.selectProtocol();
		for (const { memberId, assigned } of members) {
			const member = this.members.get(memberId);
			if (member === undefined) continue;
			this.members.update(member, () => {
				member.assignment = writeAssignment(assigned, member.metadata(this.#protocolName));
			});
		}
		this.#updateTopics();
	}

	/** Takes over what a record holds; the members are made by `memberOf`. */
	restore(
		value: GroupMetadataValue,
		memberOf: (stored: GroupMetadataValue["members"][number]) => ClassicMember,
	): void {
		this.#generation = value.generation;
		this.protocolType = value.protocolType === "" ? null : value.protocolType;
		this.#protocolName = value.protocol;
		this.#name = value.members.length === 0 ? "Empty" : "Stable";
		if (value.currentStateTimestamp >= 0) this.#sinceMs = value.currentStateTimestamp;
		for (const stored of value.members) this.members.add(memberOf(stored));
		if (value.leader !== null) this.members.lead(value.leader);
		this.#updateTopics();
	}
}
