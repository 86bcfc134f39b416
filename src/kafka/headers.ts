/**
 * Request and response headers. A request begins with API key, version and correlation id, which
 * never changed; then the client's name, and tagged fields where the version is flexible (KIP-482).
 */
import type { ServedApi } from "./api.ts";
import { API_NAMES } from "./generated/api-names.ts";
import { KafkaFrameError } from "./wire/frame-error.ts";
import { KafkaReader } from "./wire/reader.ts";

/** Its response header has no tagged fields: who asks does not know the broker's versions yet. */
export const API_VERSIONS_KEY = 18;

export interface RequestHeader {
	readonly apiKey: number;
	readonly apiVersion: number;
	readonly correlationId: number;
	/** What the client calls itself; empty where it does not say. */
	readonly clientId: string;
}

/** A request whose header was read: the reader stands at the body. */
export interface OpenedRequest {
	readonly api: ServedApi;
	readonly header: RequestHeader;
	readonly reader: KafkaReader;
	/** The version is not served, but the API has an answer to that. */
	readonly isVersionUnknown: boolean;
}

/**
 * Throws KafkaFrameError for a header that cannot be read, for APIs and for versions that are not
 * served: Kafka closes the connection then, too.
 */
export function openRequest(frame: Buffer, apis: ReadonlyMap<number, ServedApi>): OpenedRequest {
	const reader = new KafkaReader(frame);
	const apiKey = reader.int16();
	const apiVersion = reader.int16();
	const correlationId = reader.int32();
	const api = apis.get(apiKey);
	if (api === undefined) {
		const name = API_NAMES.get(apiKey) ?? "which nobody knows";
		throw new KafkaFrameError(`API ${apiKey}, ${name}, is not served`, 0);
	}
	const { facts } = api;
	const isVersionUnknown = apiVersion < facts.oldest || apiVersion > facts.latest;
	if (isVersionUnknown && api.serveUnknownVersion === undefined) {
		throw new KafkaFrameError(
			`${facts.name} version ${apiVersion}, served are ${facts.oldest} to ${facts.latest}`,
			2,
		);
	}
	const clientId = reader.nullableString(false) ?? "";
	if (apiVersion >= facts.flexibleFrom) reader.skipTags();
	const header = { apiKey, apiVersion, correlationId, clientId };
	return { api, header, reader, isVersionUnknown };
}

/** Whether the response's header has tagged fields. */
export function hasFlexibleResponseHeader(api: ServedApi, version: number): boolean {
	return api.facts.key !== API_VERSIONS_KEY && version >= api.facts.flexibleFrom;
}
