import { MillraceError } from "../../protocol/error.ts";
import type { ConnectionLimits, HelloAnswer } from "../../protocol/frames.ts";
import type { DecodedMap, DecodedValue } from "../../protocol/reader.ts";

const LIMIT_NAMES = [
	"frame_bytes_max",
	"record_bytes_max",
	"in_flight_bytes_max",
	"in_flight_requests_max",
	"credit_bytes_max",
	"credit_records_max",
	"subscriptions_max",
	"aliases_max",
	"produce_entries_max",
] as const satisfies (keyof ConnectionLimits)[];

/** Hello's answer with its types checked: everything later relies on it. Throws MALFORMED_FRAME. */
export function helloAnswer(map: DecodedMap): HelloAnswer {
	const limitsMap = mapOf(map.limits, "limits");
	const limits = {} as Record<keyof ConnectionLimits, number>;
	for (const name of LIMIT_NAMES) limits[name] = integerOf(limitsMap[name], name);
	const producer = mapOf(map.producer, "producer");
	const expires = map.auth_expires_ms;
	return {
		broker: stringOf(map.broker, "broker"),
		cluster_id: stringOf(map.cluster_id, "cluster_id"),
		features: Array.isArray(map.features) ? map.features.map(String) : [],
		producer: {
			id: integerOf(producer.id, "producer.id"),
			epoch: integerOf(producer.epoch, "producer.epoch"),
		},
		limits,
		...(typeof expires === "number" ? { auth_expires_ms: expires } : {}),
	};
}

/** An integer of an answer; throws MALFORMED_FRAME. */
export function integerOf(value: DecodedValue | undefined, name: string): number {
	if (Number.isSafeInteger(value)) return value as number;
	throw new MillraceError("MALFORMED_FRAME", `${name} is not an integer`);
}

/** A string of an answer; throws MALFORMED_FRAME. */
export function stringOf(value: DecodedValue | undefined, name: string): string {
	if (typeof value === "string") return value;
	throw new MillraceError("MALFORMED_FRAME", `${name} is not a string`);
}

function mapOf(value: DecodedValue | undefined, name: string): DecodedMap {
	if (typeof value === "object" && value !== null && !Array.isArray(value)) {
		return value as DecodedMap;
	}
	throw new MillraceError("MALFORMED_FRAME", `${name} is not a map`);
}
