/**
 * 1 hello: `[1, id, {client, auth?, producer?}]` -> `[128, id, {broker, cluster_id, features,
 * producer, limits}]`. First frame of a connection, once. Hands out a producer identity, or takes
 * the one that is carried on.
 */

import { Arguments, invalid } from "../../calls/arguments.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import type { ConnectionLimits, ProducerIdentity } from "../../protocol/frames.ts";
import { FEATURES } from "../../protocol/operations.ts";
import type { DecodedMap } from "../../protocol/reader.ts";
import type { Fields } from "../fields.ts";
import type { Session } from "../session.ts";

const PRODUCER_EPOCH_MAX = 32_767;

const ANNOUNCED_LIMITS = {
	frame_bytes_max: LIMITS.frameBytesMax,
	record_bytes_max: LIMITS.batchBytesMax,
	in_flight_bytes_max: LIMITS.inFlightBytesMax,
	in_flight_requests_max: LIMITS.inFlightRequestsMax,
	credit_bytes_max: LIMITS.creditBytesMax,
	credit_records_max: LIMITS.creditRecordsMax,
	subscriptions_max: LIMITS.subscriptionsMax,
	aliases_max: LIMITS.aliasesMax,
	produce_entries_max: LIMITS.produceEntriesMax,
	group_members_max: LIMITS.groupMembersOfConnectionMax,
} satisfies ConnectionLimits;

export function hello(session: Session, fields: Fields): Promise<AnswerMap> {
	const options = new Arguments(fields.map());
	fields.end();
	if (session.isGreeted) throw new MillraceError("INVALID_REQUEST", "hello was said already");
	const client = options.string("client");
	if (Buffer.byteLength(client) > LIMITS.clientNameBytesMax) invalid("client", "is too long");
	session.clientName = client;
	return greet(session, options.optionalMap("auth"), producerIdentity(options));
}

async function greet(
	session: Session,
	credentials: DecodedMap | undefined,
	known: ProducerIdentity | undefined,
): Promise<AnswerMap> {
	const { host } = session;
	const cookieToken = session.takeCookieToken();
	const authenticated = await session.authenticate(credentials, { cookieToken });
	if (known !== undefined && !host.producerIds.wasHandedOut(known.id)) {
		throw new MillraceError("UNKNOWN_PRODUCER_ID", `${known.id} was never handed out here`);
	}
	const producer = known ?? { id: await host.producerIds.next(), epoch: 0 };
	session.greet(authenticated, producer);
	return {
		broker: host.broker,
		cluster_id: host.storage.clusterId,
		features: FEATURES,
		producer: { ...producer },
		auth_expires_ms: authenticated.expiresMs,
		limits: ANNOUNCED_LIMITS,
	};
}

function producerIdentity(options: Arguments): ProducerIdentity | undefined {
	const map = options.optionalMap("producer");
	if (map === undefined) return undefined;
	const producer = new Arguments(map);
	return {
		id: producer.integer("id", 0, Number.MAX_SAFE_INTEGER),
		epoch: producer.integer("epoch", 0, PRODUCER_EPOCH_MAX),
	};
}
