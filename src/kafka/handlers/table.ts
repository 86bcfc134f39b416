/** Every API that is served. ApiVersions offers just these; an API that is not here is unknown. */
import type { ServedApi } from "../api.ts";
import { produceApi } from "./00-produce.ts";
import { fetchApi } from "./01-fetch.ts";
import { listOffsetsApi } from "./02-list-offsets.ts";
import { metadataApi } from "./03-metadata.ts";
import { findCoordinatorApi } from "./10-find-coordinator.ts";
import { apiVersionsApi } from "./18-api-versions.ts";
import { initProducerIdApi } from "./22-init-producer-id.ts";
import { offsetForLeaderEpochApi } from "./23-offset-for-leader-epoch.ts";

const APIS: readonly ServedApi[] = [
	produceApi,
	fetchApi,
	listOffsetsApi,
	metadataApi,
	findCoordinatorApi,
	apiVersionsApi,
	initProducerIdApi,
	offsetForLeaderEpochApi,
];

/** By API key, in the order of the keys. */
export const SERVED_APIS: ReadonlyMap<number, ServedApi> = new Map(
	APIS.map((api) => [api.facts.key, api]),
);
