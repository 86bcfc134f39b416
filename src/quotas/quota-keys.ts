/**
 * What can be limited, by the names under which it is set. Kafka's where Kafka has it; the others
 * are Millrace's own.
 */

/** What a limit counts: bytes of produce requests, bytes of delivered records, or requests. */
export type Traffic = "produce" | "fetch" | "request";

export interface QuotaKind {
	readonly traffic: Traffic;
	/** "client": of all connections of a client together; "connection": of each by itself. */
	readonly scope: "client" | "connection";
}

export const QUOTA_KINDS = {
	producer_byte_rate: { traffic: "produce", scope: "client" },
	consumer_byte_rate: { traffic: "fetch", scope: "client" },
	request_rate: { traffic: "request", scope: "client" },
	connection_producer_byte_rate: { traffic: "produce", scope: "connection" },
	connection_consumer_byte_rate: { traffic: "fetch", scope: "connection" },
	connection_request_rate: { traffic: "request", scope: "connection" },
} as const satisfies Record<string, QuotaKind>;

export type QuotaKey = keyof typeof QUOTA_KINDS;

export const QUOTA_KEYS = Object.keys(QUOTA_KINDS) as readonly QuotaKey[];

/** What Kafka limits and Millrace does not: whoever sets it is told so. */
const NOT_ENFORCED: ReadonlyMap<string, string> = new Map([
	["request_percentage", "limit requests with request_rate"],
	["controller_mutation_rate", "limit requests with request_rate"],
	["connection_creation_rate", "limit connections with max.connections"],
]);

export const isQuotaKey = (key: string): key is QuotaKey => Object.hasOwn(QUOTA_KINDS, key);

/** What to do instead of setting a quota of Kafka's that is not enforced; undefined: it is none. */
export const insteadOf = (key: string): string | undefined => NOT_ENFORCED.get(key);
