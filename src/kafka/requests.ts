/** What requests that administer have in common: how much they may name, and their deadlines. */
import type { Clock } from "../clock.ts";
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";

/**
 * Throws INVALID_REQUEST, which ends the connection, for a request that names more topics or other
 * resources than there can be: each gets an answer that is larger than its name.
 */
export function checkNamedCount(count: number, countMax: number = LIMITS.kafkaNamesMax): void {
	if (count <= countMax) return;
	throw new MillraceError(
		"INVALID_REQUEST",
		`a request names at most ${countMax} topics or resources, not ${count}`,
	);
}

/** The same for groups, of which there may be more: Kafka's tools name all of them at once. */
export function checkGroupCount(count: number): void {
	checkNamedCount(count, LIMITS.groupsMax);
}

/**
 * Tells from now on whether the time is up that a request gives, in milliseconds. Without any time
 * it is up at once, as in Kafka: clients use that to ask without waiting, and are told that nothing
 * was done in time.
 */
export function deadlineAfter(timeoutMs: number, clock: Clock): () => boolean {
	const deadlineMs = clock.monotonicMs() + timeoutMs;
	return () => clock.monotonicMs() >= deadlineMs;
}

/** What stands in a list more than once, in the order of its first places there. */
export function repeatedIn<Key>(keys: Iterable<Key>): ReadonlySet<Key> {
	const counts = new Map<Key, number>();
	for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
	return new Set([...counts].filter(([, count]) => count > 1).map(([key]) => key));
}

/** The partitions of each topic that a request names, each once however often it names them. */
export function partitionsByTopic(
	topics: readonly { readonly name: string; readonly partitions: readonly number[] }[],
): ReadonlyMap<string, ReadonlySet<number>> {
	const byTopic = new Map<string, Set<number>>();
	for (const { name, partitions } of topics) {
		const known = byTopic.get(name) ?? new Set<number>();
		for (const partition of partitions) known.add(partition);
		byTopic.set(name, known);
	}
	return byTopic;
}
