/**
 * Topics that a broker keeps for itself, by Kafka's names. Clients read them and change nothing.
 */

/** Committed offsets and groups. */
export const OFFSETS_TOPIC = "__consumer_offsets";
/** The state of transactions. */
export const TRANSACTIONS_TOPIC = "__transaction_state";

/** Who changed what; Kafka has none. */
export const AUDIT_TOPIC = "__audit";

const INTERNAL_TOPICS: ReadonlySet<string> = new Set([
	OFFSETS_TOPIC,
	TRANSACTIONS_TOPIC,
	AUDIT_TOPIC,
]);

/** Whether it is written when the disk has no room for others: what makes room needs that. */
export function isWrittenLast(name: string): boolean {
	return isInternalTopic(name) && name !== AUDIT_TOPIC;
}

export function isInternalTopic(name: string): boolean {
	return INTERNAL_TOPICS.has(name);
}
