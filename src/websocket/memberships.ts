/** The memberships of consumer groups that a connection holds, by member id. */
import { MillraceError } from "../errors.ts";
import type { OffsetToCommit, PartitionCode, TopicPartitions } from "../groups/requests.ts";
import { LIMITS } from "../limits.ts";
import { Membership, type MembershipOwner, type MembershipTerms } from "./membership.ts";
import type { SessionHost } from "./session-host.ts";

/** What the offset of a partition costs in memory beside its metadata, in bytes. */
const OFFSET_BYTES = 100;

export class Memberships {
	readonly #host: SessionHost;
	readonly #session: Omit<MembershipOwner, "lost">;
	readonly #byId = new Map<string, Membership>();
	/** Joins that are under way. */
	#joining = 0;
	/** The members that they name. */
	readonly #joiningIds = new Set<string>();
	/** What commits that are under way hold, about. */
	#committingBytes = 0;
	#isClosed = false;

	constructor(host: SessionHost, session: Omit<MembershipOwner, "lost">) {
		this.#host = host;
		this.#session = session;
	}

	/**
	 * Joins a group; what the member has is told on a later turn. Rejects with LIMIT_EXCEEDED, or as
	 * `Membership.join`.
	 */
	async join(terms: MembershipTerms): Promise<Membership> {
		if (this.#byId.size + this.#joining >= LIMITS.groupMembersOfConnectionMax) {
			throw new MillraceError("LIMIT_EXCEEDED", "group_members_max");
		}
		const { memberId } = terms;
		if (this.#byId.has(memberId) || this.#joiningIds.has(memberId)) {
			throw new MillraceError("INVALID_REQUEST", "this connection is that member already");
		}
		this.#joining++;
		if (memberId !== "") this.#joiningIds.add(memberId);
		const owner: MembershipOwner = {
			notice: (kind, notice) => this.#session.notice(kind, notice),
			guard: (work) => this.#session.guard(work),
			lost: ({ memberId }) => this.#byId.delete(memberId),
		};
		try {
			const membership = await Membership.join(this.#host, owner, terms);
			if (this.#isClosed) this.#leave(membership);
			else {
				this.#byId.set(membership.memberId, membership);
				setImmediate(() => membership.begin());
			}
			return membership;
		} finally {
			this.#joining--;
			this.#joiningIds.delete(memberId);
		}
	}

	/** Throws UNKNOWN_MEMBER_ID. */
	get(groupId: string, memberId: string): Membership {
		const membership = this.#byId.get(memberId);
		if (membership?.groupId === groupId) return membership;
		throw new MillraceError("UNKNOWN_MEMBER_ID", "it is no member by this connection");
	}

	/**
	 * Commits offsets of a member's partitions. Rejects with LIMIT_EXCEEDED where too many commits
	 * wait for those before them, or as `Membership.commit`.
	 */
	async commit(
		groupId: string,
		memberId: string,
		topics: readonly TopicPartitions<OffsetToCommit>[],
	): Promise<TopicPartitions<PartitionCode>[]> {
		const membership = this.get(groupId, memberId);
		const bytes = bytesOf(topics);
		if (this.#committingBytes + bytes > LIMITS.groupCommitsInFlightBytesMax) {
			throw new MillraceError("LIMIT_EXCEEDED", "commits that are not answered yet");
		}
		this.#committingBytes += bytes;
		try {
			return await membership.commit(topics);
		} finally {
			this.#committingBytes -= bytes;
		}
	}

	/** Rejects with UNKNOWN_MEMBER_ID, or with COORDINATOR_NOT_AVAILABLE and its like. */
	async leave(groupId: string, memberId: string, forGood: boolean): Promise<void> {
		const membership = this.get(groupId, memberId);
		await membership.leave(forGood);
		this.#byId.delete(memberId);
	}

	sweep(): void {
		for (const membership of this.#byId.values()) membership.sweep();
	}

	/** Takes members out whose group is no longer the client's to be in. */
	refuse(isAllowed: (groupId: string) => boolean): void {
		for (const membership of [...this.#byId.values()]) {
			if (isAllowed(membership.groupId)) continue;
			membership.takeOut(new MillraceError("GROUP_AUTHORIZATION_FAILED", membership.groupId));
		}
	}

	/** The connection has ended; `isLeaving`: because of the client, so its members leave. */
	close(isLeaving: boolean): void {
		this.#isClosed = true;
		for (const membership of this.#byId.values()) {
			if (isLeaving) this.#leave(membership);
			else membership.abandon();
		}
		this.#byId.clear();
	}

	#leave(membership: Membership): void {
		membership.leave(false).catch((error: unknown) => {
			const { groupId: group, memberId: member } = membership;
			// Its session begins, and ends without it.
			this.#host.log.debug({ err: error, group, member }, "a member could not leave");
		});
	}
}

/** Memory that a commit holds, about. */
function bytesOf(topics: readonly TopicPartitions<OffsetToCommit>[]): number {
	let bytes = 0;
	for (const { topic, partitions } of topics) {
		bytes += OFFSET_BYTES + 2 * topic.length;
		for (const { metadata } of partitions) bytes += OFFSET_BYTES + 2 * (metadata?.length ?? 0);
	}
	return bytes;
}
