/** How requests name topics: by name, and by id from some version of each API on. */
import { CODES } from "../protocol/codes.ts";
import type { Topic, TopicCatalogue } from "../topics/catalogue.ts";
import type { Exchange } from "./exchange.ts";
import { NIL_UUID } from "./wire/uuid.ts";

/** A topic as a request names it; what its version does not carry is absent or at its default. */
export interface NamedTopic {
	readonly name?: string | null;
	readonly topicId?: string;
}

/** The topic, or the code that says that there is none. */
export function findTopic(
	catalogue: TopicCatalogue,
	{ name, topicId = NIL_UUID }: NamedTopic,
): Topic | number {
	if (topicId !== NIL_UUID) {
		return catalogue.byId(topicId) ?? CODES.UNKNOWN_TOPIC_ID.code;
	}
	return catalogue.get(name ?? "") ?? CODES.UNKNOWN_TOPIC_OR_PARTITION.code;
}

/**
 * The same, and TOPIC_AUTHORIZATION_FAILED where the client may not do with the topic what the
 * request is for: whether there is one of that name is not said then. Ids tell nothing.
 */
export function findAllowedTopic(exchange: Exchange, named: NamedTopic): Topic | number {
	const found = findTopic(exchange.host.catalogue, named);
	const hasId = (named.topicId ?? NIL_UUID) !== NIL_UUID;
	if (typeof found === "number" && hasId) return found;
	const name = typeof found === "number" ? (named.name ?? "") : found.name;
	return exchange.allows("topic", name) ? found : CODES.TOPIC_AUTHORIZATION_FAILED.code;
}
