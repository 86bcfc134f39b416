/**
 * The headers before requests and responses.
 *
 *     request v1     int16 API key, int16 version, int32 correlation id, nullable string client id
 *     request v2     the same, then tagged fields; the client id keeps its classic form
 *     response v0    int32 correlation id
 *     response v1    the same, then tagged fields
 *
 * The later ones belong to flexible versions. Only ApiVersions answers with v0 always: its client
 * does not know yet what the broker speaks (KIP-511).
 */
import { API_VERSIONS } from "../generated/18-api-versions.ts";
import { APIS } from "../generated/apis.ts";
import type { KafkaReader } from "./reader.ts";
import type { AnyKafkaApi } from "./schema.ts";

export interface RequestHeader {
	readonly api: AnyKafkaApi;
	/** As the client sent it: it may be one that the API does not have. */
	readonly version: number;
	readonly correlationId: number;
	readonly clientId: string | null;
}

const API_BY_KEY = new Map(APIS.map((api) => [api.key, api]));

/**
 * Reads a request's header. Throws KafkaFrameError also for an API key that nothing is known of.
 */
export function readRequestHeader(reader: KafkaReader): RequestHeader {
	const key = reader.int16();
	const version = reader.int16();
	const api = API_BY_KEY.get(key);
	if (api === undefined) return reader.fail(`API key ${key}`);
	const correlationId = reader.int32();
	const clientId = reader.nullableString(false);
	if (version >= api.flexibleFrom) reader.skipTags();
	return { api, version, correlationId, clientId };
}

/** Whether the API has this version. */
export function hasVersion(api: AnyKafkaApi, version: number): boolean {
	return version >= api.oldest && version <= api.latest;
}

/** Whether the header of a response has tagged fields: v1 instead of v0. */
export function hasFlexibleResponseHeader(api: AnyKafkaApi, version: number): boolean {
	return version >= api.flexibleFrom && api.key !== API_VERSIONS.key;
}
