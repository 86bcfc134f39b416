/**
 * The members of a classic group: who is static, who leads, who waits for the join to end, and what
 * protocols everybody has in common. Kept up to date at every change, so that nothing is counted
 * again for each request.
 */
import { LIMITS } from "../../limits.ts";
import type { CodeName } from "../../protocol/codes.ts";
import type { ClassicMember, Waiter } from "../member.ts";
import type { StateBudget } from "../offsets/committed-offsets.ts";
import type { JoinAnswer, MemberProtocol } from "../requests.ts";

/** What a member costs beside what it brings: its objects, its timer, its places in maps. */
const MEMBER_BYTES = 1_000;

export class ClassicMembers {
	readonly #byId = new Map<string, ClassicMember>();
	/** Member ids by group instance id. */
	readonly #static = new Map<string, string>();
	/** How many members have each protocol. */
	readonly #protocolCounts = new Map<string, number>();
	readonly #budget: StateBudget;
	#leader: string | null = null;
	#joiningCount = 0;
	#bytes = 0;

	constructor(budget: StateBudget) {
		this.#budget = budget;
	}

	get size(): number {
		return this.#byId.size;
	}

	/** Bytes that the members hold, beside what every member costs. */
	get bytes(): number {
		return this.#bytes;
	}

	/** The member id of the leader; null without members. */
	get leader(): string | null {
		return this.#leader;
	}

	/** Members that wait for the join to end. */
	get joiningCount(): number {
		return this.#joiningCount;
	}

	get(memberId: string): ClassicMember | undefined {
		return this.#byId.get(memberId);
	}

	has(memberId: string): boolean {
		return this.#byId.has(memberId);
	}

	/** In the order in which they became members. */
	[Symbol.iterator](): IterableIterator<ClassicMember> {
		return this.#byId.values();
	}

	/** The member id behind a group instance id. */
	staticId(groupInstanceId: string): string | undefined {
		return this.#static.get(groupInstanceId);
	}

	/** The first member becomes the leader. */
	add(member: ClassicMember): void {
		this.#byId.set(member.memberId, member);
		if (member.groupInstanceId !== null) this.#static.set(member.groupInstanceId, member.memberId);
		this.#leader ??= member.memberId;
		this.#count(member, 1);
	}

	/** Takes a member out; it is not ended. When it led, the longest member leads from now on. */
	remove(memberId: string): ClassicMember | undefined {
		const member = this.#byId.get(memberId);
		if (member === undefined) return undefined;
		this.#byId.delete(memberId);
		if (member.groupInstanceId !== null) this.#static.delete(member.groupInstanceId);
		this.#count(member, -1);
		if (this.#leader === memberId) this.#leader = this.#byId.keys().next().value ?? null;
		return member;
	}

	/** Puts a member in the place of the one with the same group instance id, lead included. */
	replace(before: ClassicMember, member: ClassicMember): void {
		const isLeader = this.#leader === before.memberId;
		this.remove(before.memberId);
		this.add(member);
		if (isLeader) this.#leader = member.memberId;
	}

	/** Changes a member by `change`, which touches protocols or assignment. */
	update(member: ClassicMember, change: () => void): void {
		this.#count(member, -1);
		change();
		this.#count(member, 1);
	}

	/** Makes a member the leader. */
	lead(memberId: string): void {
		if (this.#byId.has(memberId)) this.#leader = memberId;
	}

	awaitJoin(member: ClassicMember, waiter: Waiter<JoinAnswer>): void {
		if (!member.isJoining) this.#joiningCount++;
		member.awaitJoin(waiter);
	}

	answerJoin(member: ClassicMember, answer: JoinAnswer): void {
		if (member.isJoining) this.#joiningCount--;
		member.answerJoin(answer);
	}

	/** `memberId` is the id to come back with. */
	refuseJoin(member: ClassicMember, code: CodeName, memberId: string): void {
		if (member.isJoining) this.#joiningCount--;
		member.refuseJoin(code, memberId);
	}

	/** Whether the leader waits for the join to end; else somebody who does becomes the leader. */
	electJoined(): boolean {
		if (this.#leader === null) return false;
		if (this.#byId.get(this.#leader)?.isJoining === true) return true;
		for (const member of this.#byId.values()) {
			if (!member.isJoining) continue;
			this.#leader = member.memberId;
			return true;
		}
		return false;
	}

	/** Whether the members may hold so many bytes more. */
	fits(bytesMore: number): boolean {
		return this.#bytes + bytesMore <= LIMITS.groupBytesMax && this.#budget.fits(bytesMore);
	}

	/** Whether everybody has one of these protocols; where there is nobody, any of them will do. */
	supportsAny(protocols: readonly MemberProtocol[]): boolean {
		return protocols.some(({ name }) => (this.#protocolCounts.get(name) ?? 0) === this.#byId.size);
	}

	/** The protocol with most votes among those that everybody has; null without members. */
	selectProtocol(): string | null {
		const candidates = new Set<string>();
		for (const [name, count] of this.#protocolCounts) {
			if (count === this.#byId.size) candidates.add(name);
		}
		const votes = new Map<string, number>();
		let winner: string | null = null;
		for (const member of this.#byId.values()) {
			const vote = member.vote(candidates);
			if (vote === undefined) continue;
			const count = (votes.get(vote) ?? 0) + 1;
			votes.set(vote, count);
			if (winner === null || count > (votes.get(winner) ?? 0)) winner = vote;
		}
		return winner;
	}

	/** The longest that any member may take to join again, in milliseconds. */
	get rebalanceTimeoutMs(): number {
		let longest = 0;
		for (const member of this.#byId.values()) {
			longest = Math.max(longest, member.rebalanceTimeoutMs);
		}
		return longest;
	}

	#count(member: ClassicMember, sign: 1 | -1): void {
		this.#bytes += sign * member.bytes;
		this.#budget.add(sign * (MEMBER_BYTES + member.bytes));
		if (member.isJoining) this.#joiningCount += sign;
		for (const name of new Set(member.protocols.map((protocol) => protocol.name))) {
			const count = (this.#protocolCounts.get(name) ?? 0) + sign;
			if (count === 0) this.#protocolCounts.delete(name);
			else this.#protocolCounts.set(name, count);
		}
	}
}
