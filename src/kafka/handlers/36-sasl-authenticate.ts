/**
 * SaslAuthenticate: v0-2.
 *
 * Behavior:
 * - What fails is answered with Kafka's text, after a while where it may have been a guess, and the
 *   connection ends.
 * - Who leaves waits no more for the turn of its address.
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
	exchange: Exchange,
): SaslAuthenticateResponse | Promise<SaslAuthenticateResponse> {
	const { sasl } = exchange.origin;
	if (sasl === null) return AUTHENTICATED_ALREADY;
	const leaving = new AbortController();
	exchange.onAbandoned(() => leaving.abort());
	if (exchange.isHurried) leaving.abort();
	return sasl.authenticate(authBytes, leaving.signal);
}
