/**
 * SaslAuthenticate: v0-2.
 *
 * Behavior:
 * - What fails is answered with Kafka's text, after a while, and the connection ends.
 * - Who has said already who they are, or is not asked: ILLEGAL_SASL_STATE, as in Kafka.
 *
 * Version notes:
 * - v1: how long the client is believed (KIP-368).
 */
import { serveApi } from "../api.ts";
import type { Exchange } from "../exchange.ts";
import {
	SASL_AUTHENTICATE,
	type SaslAuthenticateRequest,
	type SaslAuthenticateResponse,
} from "../generated/36-sasl-authenticate.ts";
import { AUTHENTICATED_ALREADY } from "../sasl-session.ts";

export const saslAuthenticateApi = serveApi(SASL_AUTHENTICATE, saslAuthenticate);

function saslAuthenticate(
	{ authBytes }: SaslAuthenticateRequest,
	{ origin }: Exchange,
): SaslAuthenticateResponse | Promise<SaslAuthenticateResponse> {
	return origin.sasl?.authenticate(authBytes) ?? AUTHENTICATED_ALREADY;
}
