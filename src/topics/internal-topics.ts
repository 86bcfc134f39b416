/**
 * Topics that a broker keeps for itself, by Kafka's names. Clients read them and change nothing.
 */

/** Committed offsets and groups. */
export const OFFSETS_TOPIC = "__consumer_offsets";
/** The state of transactions. */
export const TRANSACTIONS_TOPIC = "__transaction_state";

const INTERNAL_TOPICS: ReadonlySet<string> = new Set([OFFSETS_TOPIC, TRANSACTIONS_TOPIC]);

export function isInternalTopic(name: string): boolean {
	return INTERNAL_TOPICS.has(name);
}
