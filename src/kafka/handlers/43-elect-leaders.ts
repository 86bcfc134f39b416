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
import { serveApi } from "../api.ts";
import { failed } from "../codes.ts";
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
	{ apiVersion, host: { catalogue } }: Exchange,
): ElectLeadersResponse {
	const isKnownType = electionType === ELECTION_PREFERRED || electionType === ELECTION_UNCLEAN;
	const outcomeOf = (topic: string, partition: number) => {
		if (!isKnownType) return failed("INVALID_REQUEST", `there is no election type ${electionType}`);
		const { partitions = 0 } = catalogue.get(topic) ?? {};
		if (partition >= 0 && partition < partitions) return failed("ELECTION_NOT_NEEDED");
		return failed("UNKNOWN_TOPIC_OR_PARTITION");
	};
	const { code } = isKnownType ? CODES.NONE : CODES.INVALID_REQUEST;
	const asked =
		topicPartitions ?? catalogue.list().map(({ name }) => ({ topic: name, partitions: [] }));
	return {
		errorCode: apiVersion >= 1 ? code : CODES.NONE.code,
		replicaElectionResults: asked.map(({ topic, partitions }) => ({
			topic,
			partitionResult: partitions.map((partitionId) => ({
				partitionId,
				...outcomeOf(topic, partitionId),
			})),
		})),
	};
}
