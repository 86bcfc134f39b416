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
import { saslHandshakeApi } from "./17-sasl-handshake.ts";
import { apiVersionsApi } from "./18-api-versions.ts";
import { createTopicsApi } from "./19-create-topics.ts";
import { deleteTopicsApi } from "./20-delete-topics.ts";
import { deleteRecordsApi } from "./21-delete-records.ts";
import { initProducerIdApi } from "./22-init-producer-id.ts";
import { offsetForLeaderEpochApi } from "./23-offset-for-leader-epoch.ts";
import { describeAclsApi } from "./29-describe-acls.ts";
import { createAclsApi } from "./30-create-acls.ts";
import { deleteAclsApi } from "./31-delete-acls.ts";
import { describeConfigsApi } from "./32-describe-configs.ts";
import { alterConfigsApi } from "./33-alter-configs.ts";
import { describeLogDirsApi } from "./35-describe-log-dirs.ts";
import { saslAuthenticateApi } from "./36-sasl-authenticate.ts";
import { createPartitionsApi } from "./37-create-partitions.ts";
import { deleteGroupsApi } from "./42-delete-groups.ts";
import { electLeadersApi } from "./43-elect-leaders.ts";
import { incrementalAlterConfigsApi } from "./44-incremental-alter-configs.ts";
import { alterPartitionReassignmentsApi } from "./45-alter-partition-reassignments.ts";
import { listPartitionReassignmentsApi } from "./46-list-partition-reassignments.ts";
import { offsetDeleteApi } from "./47-offset-delete.ts";
import { describeClientQuotasApi } from "./48-describe-client-quotas.ts";
import { alterClientQuotasApi } from "./49-alter-client-quotas.ts";
import { describeUserScramCredentialsApi } from "./50-describe-user-scram-credentials.ts";
import { alterUserScramCredentialsApi } from "./51-alter-user-scram-credentials.ts";
import { describeQuorumApi } from "./55-describe-quorum.ts";
import { describeClusterApi } from "./60-describe-cluster.ts";
import { describeProducersApi } from "./61-describe-producers.ts";
import { consumerGroupHeartbeatApi } from "./68-consumer-group-heartbeat.ts";
import { consumerGroupDescribeApi } from "./69-consumer-group-describe.ts";
import { listConfigResourcesApi } from "./74-list-config-resources.ts";
import { describeTopicPartitionsApi } from "./75-describe-topic-partitions.ts";

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
	saslHandshakeApi,
	apiVersionsApi,
	createTopicsApi,
	deleteTopicsApi,
	deleteRecordsApi,
	initProducerIdApi,
	offsetForLeaderEpochApi,
	describeAclsApi,
	createAclsApi,
	deleteAclsApi,
	describeConfigsApi,
	alterConfigsApi,
	describeLogDirsApi,
	saslAuthenticateApi,
	createPartitionsApi,
	deleteGroupsApi,
	electLeadersApi,
	incrementalAlterConfigsApi,
	alterPartitionReassignmentsApi,
	listPartitionReassignmentsApi,
	offsetDeleteApi,
	describeClientQuotasApi,
	alterClientQuotasApi,
	describeUserScramCredentialsApi,
	alterUserScramCredentialsApi,
	describeQuorumApi,
	describeClusterApi,
	describeProducersApi,
	consumerGroupHeartbeatApi,
	consumerGroupDescribeApi,
	listConfigResourcesApi,
	describeTopicPartitionsApi,
];

/** By API key, in the order of the keys. */
export const SERVED_APIS: ReadonlyMap<number, ServedApi> = new Map(
	APIS.map((api) => [api.facts.key, api]),
);
