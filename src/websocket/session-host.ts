/** What sessions need of the broker around them; one for each event loop. */
import type { CallHost } from "../calls/caller.ts";
import type { Clock } from "../clock.ts";
import type { RequestFigures } from "../monitoring/request-figures.ts";
import type { TopicTraffic } from "../monitoring/topic-traffic.ts";
import type { ProducerIds } from "../producer-ids.ts";
import type { DecodedMap, FrameReader } from "../protocol/reader.ts";
import type { FrameWriter } from "../protocol/writer.ts";
import type { ClientContext } from "../security/authentication.ts";
import type { Authorizer } from "../security/authorizer.ts";
import type { Peer } from "../security/principal.ts";
import type { SaslIdentity } from "../security/sasl/mechanism.ts";
import type { Tickets } from "../security/tickets.ts";
import type { Storage } from "../storage/storage.ts";
import type { LiveTopics } from "../topics/live-topics.ts";
import type { Deliveries } from "./deliveries.ts";

export type SessionStorage = Pick<
	Storage,
	| "append"
	| "clusterId"
	| "decodeProduce"
	| "isElsewhere"
	| "nextConnection"
	| "offsetForTimestamp"
	| "offsets"
	| "onToken"
	| "plan"
	| "reached"
	| "readBatches"
	| "readRecords"
	| "recoveryReport"
	| "release"
	| "spread"
	| "takeAppended"
	| "verifyStep"
	| "watch"
>;

/** Where a session's log lines go; pino is one. */
export interface SessionLog {
	trace(details: object, message: string): void;
	debug(details: object, message: string): void;
	warn(details: object, message: string): void;
	error(details: object, message: string): void;
}

/** What is known of a client beside what it presents. */
export interface AuthenticationContext extends Pick<ClientContext, "stays"> {
	/** Makes the signal that is aborted when it has left: who asks nobody has no need of it. */
	readonly left?: () => AbortSignal;
	/** The token that came with the request for the WebSocket, in a cookie that counts. */
	readonly cookieToken?: string | undefined;
}

/**
 * Decides who a client is. Throws or rejects with NOT_AUTHENTICATED. Binaries in `credentials` are
 * views of the frame: gone once the function has returned or awaited for the first time.
 */
export type Authenticate = (
	credentials: DecodedMap | undefined,
	peer: Peer,
	context?: AuthenticationContext,
) => SaslIdentity | Promise<SaslIdentity>;

/** A broker that asks nobody: everybody is who the connection says, whatever they present. */
export const authenticateAnybody: Authenticate = (_credentials, { principal }) => ({ principal });

export interface SessionHost extends CallHost {
	/** Name and version, such as "millrace/0.1.0". */
	readonly broker: string;
	readonly storage: SessionStorage;
	readonly topics: LiveTopics;
	readonly deliveries: Deliveries;
	readonly clock: Clock;
	readonly log: SessionLog;
	readonly authenticate: Authenticate;
	/** Whom sessions ask what their clients may do. */
	readonly authorizer: Authorizer;
	readonly tickets: Tickets | null;
	readonly producerIds: ProducerIds;
	/** Counts requests and errors, by operation. */
	readonly requests: RequestFigures;
	/** Counts records, by topic. */
	readonly traffic: TopicTraffic;
	/**
	 * One writer for all frames of the loop: written, sent, and free again before anybody else runs.
	 */
	readonly writer: FrameWriter;
	/** One reader likewise: a frame is read to its end before anybody else runs. */
	readonly reader: FrameReader;
}
