/**
 * FindCoordinator: v0-6.
 *
 * Behavior:
 * - The one broker coordinates every group, that of the empty id too, as Kafka does.
 * - There is no transaction coordinator in this version: TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
 *   which no client tries again (COORDINATOR_NOT_AVAILABLE would be retried for ever). Other kinds
 *   of coordinators are INVALID_REQUEST.
 *
 * Version notes:
 * - v1: key types.  v4: several keys (KIP-699).  v6: share groups (KIP-932), not served.
 */
import { CODES } from "../../protocol/codes.ts";
import { serveApi } from "../api.ts";
import { failed, kafkaFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	FIND_COORDINATOR,
	type FindCoordinatorRequest,
	type FindCoordinatorResponse,
} from "../generated/10-find-coordinator.ts";
import { brokerAddress } from "../node.ts";

/** From here on one request asks for several coordinators. */
const BATCH_VERSION = 4;

const KEY_TYPE_GROUP = 0;
const KEY_TYPE_TRANSACTION = 1;

const NO_NODE = { nodeId: -1, host: "", port: -1 };
const GROUP_REFUSED = { ...NO_NODE, ...failed("GROUP_AUTHORIZATION_FAILED") };

export const findCoordinatorApi = serveApi(FIND_COORDINATOR, findCoordinator);

async function findCoordinator(
	request: FindCoordinatorRequest,
	exchange: Exchange,
): Promise<FindCoordinatorResponse> {
	const { keyType, coordinatorKeys } = request;
	const isBatch = exchange.apiVersion >= BATCH_VERSION;
	const keys = isBatch ? coordinatorKeys : [request.key];
	const isOpen = keyType !== KEY_TYPE_GROUP || keys.some((key) => exchange.allows("group", key));
	// Whoever asks is about to use the topic that keeps groups: it is created here, as in Kafka.
	const failure = keyType === KEY_TYPE_GROUP && isOpen ? await prepareGroups(exchange) : null;
	const answerOf = (key: string) => {
		if (keyType === KEY_TYPE_GROUP && !exchange.allows("group", key)) return GROUP_REFUSED;
		return failure ?? find(keyType, exchange);
	};
	if (!isBatch) return answerOf(request.key);
	return { coordinators: coordinatorKeys.map((key) => ({ key, ...answerOf(key) })) };
}

/** Null: groups can be served. */
async function prepareGroups({ host }: Exchange) {
	try {
		await host.groups.prepare();
		return null;
	} catch (error) {
		host.log.error({ err: error }, "the topic for consumer groups could not be created");
		const { errorMessage } = kafkaFailure(error);
		return { ...NO_NODE, errorCode: CODES.COORDINATOR_NOT_AVAILABLE.code, errorMessage };
	}
}

function find(keyType: number, exchange: Exchange) {
	if (keyType === KEY_TYPE_TRANSACTION) {
		return {
			...NO_NODE,
			errorCode: CODES.TRANSACTIONAL_ID_AUTHORIZATION_FAILED.code,
			errorMessage: "this version of the broker has no transactions",
		};
	}
	if (keyType !== KEY_TYPE_GROUP) {
		return {
			...NO_NODE,
			errorCode: CODES.INVALID_REQUEST.code,
			errorMessage: `this broker has no coordinators of type ${keyType}`,
		};
	}
	const { brokerId } = exchange.host;
	return {
		nodeId: brokerId,
		...brokerAddress(exchange),
		errorCode: CODES.NONE.code,
		errorMessage: null,
	};
}
