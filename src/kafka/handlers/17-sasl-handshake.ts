/**
 * SaslHandshake: v1, offered from v0.
 *
 * Behavior:
 * - A mechanism that is not offered is answered with those that are, and the connection ends.
 * - Where nobody is asked who they are: ILLEGAL_SASL_STATE, as in Kafka.
 *
 * Version notes:
 * - v0 is not served: behind it mechanisms speak without Kafka's headers, which only clients from
 *   before 1.0 do. It is offered all the same: librdkafka takes an offer from v1 on for none.
 */
import { CODES } from "../../protocol/codes.ts";
import { type ServedApi, serveApi } from "../api.ts";
import type { Exchange } from "../exchange.ts";
import {
	SASL_HANDSHAKE,
	type SaslHandshakeRequest,
	type SaslHandshakeResponse,
} from "../generated/17-sasl-handshake.ts";

export const saslHandshakeApi: ServedApi = serveApi(
	{ ...SASL_HANDSHAKE, oldest: 1 },
	saslHandshake,
);

function saslHandshake(
	{ mechanism }: SaslHandshakeRequest,
	{ origin }: Exchange,
): SaslHandshakeResponse {
	const illegal = { errorCode: CODES.ILLEGAL_SASL_STATE.code, mechanisms: [] };
	return origin.sasl?.handshake(mechanism) ?? illegal;
}
