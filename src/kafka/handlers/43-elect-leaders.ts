/**
 * ElectLeaders: v0-2 (KIP-183).
 *
 * Behavior:
 * - The one broker leads every partition and is its preferred leader: ELECTION_NOT_NEEDED for each,
 *   whatever the kind of election.
 * - Where all partitions are asked for, topics are answered without partitions: none was elected.
 *
 * Version notes:
 * - v1: unclean elections (KIP-460).
 */
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import { serveApi } from "../api.ts";
import { type Failure, failed } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	ELECT_LEADERS,
	type ElectLeadersRequest,
	type ElectLeadersResponse,
} from "../generated/43-elect-leaders.ts";

const ELECTION_PREFERRED = 0;
const ELECTION_UNCLEAN = 1;

export const electLeadersApi = serveApi(ELECT_LEADERS, electLeaders);

function electLeaders(
	{ electionType, topicPartitions }: ElectLeadersRequest,
	exchange: Exchange,
): ElectLeadersResponse {
	const { apiVersion, host } = exchange;
	const { catalogue } = host;
	const isAllowed = exchange.allows("cluster", CLUSTER_NAME);
	const refusal = isAllowed ? refusalOfType(electionType) : failed("CLUSTER_AUTHORIZATION_FAILED");
	const outcomeOf = (topic: string, partition: number): Failure => {
		if (refusal !== null) return refusal;
		const { partitions = 0 } = catalogue.get(topic) ?? {};
		if (partition >= 0 && partition < partitions) return failed("ELECTION_NOT_NEEDED");
		return failed("UNKNOWN_TOPIC_OR_PARTITION");
	};
	const all = isAllowed ? catalogue.list() : [];
	const asked = topicPartitions ?? all.map(({ name }) => ({ topic: name, partitions: [] }));
	return {
		errorCode: apiVersion >= 1 && refusal !== null ? refusal.errorCode : CODES.NONE.code,
		replicaElectionResults: asked.map(({ topic, partitions }) => ({
			topic,
			partitionResult: partitions.map((partitionId) => ({
				partitionId,
				...outcomeOf(topic, partitionId),
			})),
		})),
	};
}

function refusalOfType(electionType: number): Failure | null {
	if (electionType === ELECTION_PREFERRED || electionType === ELECTION_UNCLEAN) return null;
	return failed("INVALID_REQUEST", `there is no election type ${electionType}`);
}
