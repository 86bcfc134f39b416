/** What may be the name of a topic: Kafka's rules. */
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";

/** Kafka's own name for its metadata log, which is no topic that anyone may make. */
export const METADATA_TOPIC = "__cluster_metadata";

/** Whether `name` may be a topic's. Such a name is safe in a path. */
export function isTopicName(name: string): boolean {
	return (
		name.length >= 1 &&
		name.length <= LIMITS.topicNameCharactersMax &&
		/^[a-zA-Z0-9._-]+$/.test(name) &&
		name !== "." &&
		name !== ".." &&
		name !== METADATA_TOPIC
	);
}

/** Throws INVALID_TOPIC_EXCEPTION unless `name` may be a topic's. */
export function checkTopicName(name: string): void {
	if (isTopicName(name)) return;
	if (name === METADATA_TOPIC) {
		throw new MillraceError("INVALID_TOPIC_EXCEPTION", `${name} is reserved`);
	}
	const shown = name.length > 100 ? `${name.slice(0, 100)}...` : name;
	throw new MillraceError("INVALID_TOPIC_EXCEPTION", JSON.stringify(shown));
}

/**
 * What two names share that Kafka does not allow beside each other: its metrics cannot tell `.`
 * from `_`, and tools that mirror topics rely on that.
 */
export function collisionKey(name: string): string {
	return name.replaceAll(".", "_");
}
