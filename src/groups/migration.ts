/**
 * What goes from a classic group to the consumer group that takes its place, and back (KIP-848):
 * the members that speak the classic protocol, and what each of them may read.
 *
 * Either way the new group is written and the old one removed by one append. The records stand in
 * such an order that also of an append too large for one batch a part leaves one group or the
 * other: a consumer group exists by its epoch's record, and hides a classic one of its name.
 */
import type { GroupRecord } from "./group.ts";
import type { ClassicMember, MemberDetails } from "./member.ts";
import type { TopicPartitions } from "./requests.ts";

/** The members of a classic group that becomes a consumer group. */
export interface ConsumerImage {
	readonly generation: number;
	readonly protocolType: string | null;
	/** Null: the first generation has not begun. */
	readonly protocolName: string | null;
	/** No rebalance is going on. */
	readonly isStable: boolean;
	readonly members: readonly ClassicMember[];
}

/** The classic group whose place a consumer group takes. */
export interface ClassicOrigin {
	/** Null: it has no members. */
	readonly image: ConsumerImage | null;
	/** What takes a consumer group before it out of the log, where that is not certain yet. */
	readonly leftovers: readonly GroupRecord[];
	/** What takes it out of the log. */
	readonly removals: readonly GroupRecord[];
}

/** The members of a consumer group that becomes a classic one. */
export interface ClassicImage {
	readonly generation: number;
	readonly members: readonly {
		readonly memberId: string;
		readonly details: MemberDetails;
		/** Its generation as it knows it. */
		readonly epoch: number;
		/** What it should have. */
		readonly assigned: readonly TopicPartitions<number>[];
	}[];
}
