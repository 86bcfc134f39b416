/**
 * InitProducerId: v0-5; v6 (two-phase commit, KIP-939) is not offered, as in Kafka.
 *
 * Behavior:
 * - Every call without a transactional id answers a new producer id with epoch 0.
 * - A producer id without its epoch, or the other way round, is INVALID_REQUEST.
 * - There is no transaction coordinator in this version: with a transactional id the answer is
 *   TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which no client tries again.
 */
import { CODES } from "../../protocol/codes.ts";
import { mayNumberRecords } from "../access.ts";
import { serveApi } from "../api.ts";
import { kafkaFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	INIT_PRODUCER_ID,
	type InitProducerIdRequest,
	type InitProducerIdResponse,
} from "../generated/22-init-producer-id.ts";

const NO_EPOCH = -1;
const FIRST_EPOCH = 0;

export const initProducerIdApi = serveApi(INIT_PRODUCER_ID, initProducerId);

async function initProducerId(
	{ transactionalId, producerId: ownId, producerEpoch: ownEpoch }: InitProducerIdRequest,
	exchange: Exchange,
): Promise<InitProducerIdResponse> {
	const { host } = exchange;
	const isHalf = ownId < 0 !== ownEpoch < 0;
	if (transactionalId === "" || isHalf) {
		return { errorCode: CODES.INVALID_REQUEST.code, producerEpoch: NO_EPOCH };
	}
	if (transactionalId !== null) {
		const errorCode = CODES.TRANSACTIONAL_ID_AUTHORIZATION_FAILED.code;
		return { errorCode, producerEpoch: NO_EPOCH };
	}
	if (!mayNumberRecords(exchange)) {
		return { errorCode: CODES.CLUSTER_AUTHORIZATION_FAILED.code, producerEpoch: NO_EPOCH };
	}
	try {
		const producerId = await host.nextProducerId();
		return { errorCode: CODES.NONE.code, producerId, producerEpoch: FIRST_EPOCH };
	} catch (error) {
		host.log.error({ err: error }, "no producer id could be allocated");
		return { errorCode: kafkaFailure(error).errorCode, producerEpoch: NO_EPOCH };
	}
}
