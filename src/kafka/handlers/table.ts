/** Every API that is served. ApiVersions offers just these; an API that is not here is unknown. */
import type { ServedApi } from "../api.ts";
import { produceApi } from "./00-produce.ts";
import { fetchApi } from "./01-fetch.ts";
import { listOffsetsApi } from "./02-list-offsets.ts";
import { metadataApi } from "./03-metadata.ts";
import { offsetCommitApi } from "./08-offset-commit.ts";
import { offsetFetchApi } from "./09-offset-fetch.ts";
import { findCoordinatorApi } from "./10-find-coordinator.ts";
import { joinGroupApi } from "./11-join-group.ts";
import { heartbeatApi } from "./12-heartbeat.ts";
import { leaveGroupApi } from "./13-leave-group.ts";
import { syncGroupApi } from "./14-sync-group.ts";
import { describeGroupsApi } from "./15-describe-groups.ts";
import { listGroupsApi } from "./16-list-groups.ts";
import { apiVersionsApi } from "./18-api-versions.ts";
import { initProducerIdApi } from "./22-init-producer-id.ts";
import { offsetForLeaderEpochApi } from "./23-offset-for-leader-epoch.ts";
import { deleteGroupsApi } from "./42-delete-groups.ts";
import { offsetDeleteApi } from "./47-offset-delete.ts";

const APIS: readonly ServedApi[] = [
	produceApi,
	fetchApi,
	listOffsetsApi,
	metadataApi,
	offsetCommitApi,
	offsetFetchApi,
	findCoordinatorApi,
	joinGroupApi,
	heartbeatApi,
	leaveGroupApi,
	syncGroupApi,
	describeGroupsApi,
	listGroupsApi,
	apiVersionsApi,
	initProducerIdApi,
	offsetForLeaderEpochApi,
	deleteGroupsApi,
	offsetDeleteApi,
];

/** By API key, in the order of the keys. */
export const SERVED_APIS: ReadonlyMap<number, ServedApi> = new Map(
	APIS.map((api) => [api.facts.key, api]),
);
