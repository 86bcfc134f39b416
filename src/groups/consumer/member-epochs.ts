/** Whether what a member asks for comes with an epoch that it may have. */
import { MillraceError } from "../../errors.ts";
import { type Assignment, holdsAll, type TopicIdPartitions } from "./assignment.ts";
import type { ConsumerMember } from "./consumer-member.ts";
import { grantedSince } from "./grants.ts";
import type { Standing } from "./reconciliation.ts";

/**
 * Throws FENCED_MEMBER_EPOCH unless the epoch is the member's. The one before will do for a member
 * that has nothing which is not its own: it has missed the answer that raised it.
 */
export function checkEpoch(standing: Standing, received: number, owned: Assignment | null): void {
	if (received === standing.epoch) return;
	const hasMissedAnswer =
		received < standing.epoch &&
		received === standing.previousEpoch &&
		owned !== null &&
		holdsAll(standing.assigned, owned);
	if (hasMissedAnswer) return;
	throw new MillraceError("FENCED_MEMBER_EPOCH", `${received}, not ${standing.epoch}`);
}

/** Throws STALE_MEMBER_EPOCH, ILLEGAL_GENERATION to who has one, unless it is the member's. */
export function checkCurrent({ standing, isClassic }: ConsumerMember, received: number): void {
	if (received === standing.epoch) return;
	const code = isClassic ? "ILLEGAL_GENERATION" : "STALE_MEMBER_EPOCH";
	throw new MillraceError(code, `${received}, not ${standing.epoch}`);
}

/**
 * Whether a commit may come with another epoch than the member's: throws as `checkCurrent`, but for
 * a member that has had all of the partitions since that epoch or longer (KIP-1251).
 */
export function checkCommit(
	member: ConsumerMember,
	received: number,
	committed: readonly TopicIdPartitions[],
): void {
	const { epoch, grants } = member.standing;
	const isGranted = committed.every(({ topicId, partitions }) =>
		partitions.every((partition) => {
			const since = grantedSince(grants, topicId, partition);
			return since !== null && since <= received;
		}),
	);
	if (received > epoch || !isGranted) checkCurrent(member, received);
}
