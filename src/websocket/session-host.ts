/** What sessions need of the broker around them; one for each event loop. */
import type { Clock } from "../clock.ts";
import type { GroupCoordinator } from "../groups/coordinator.ts";
import type { ProducerIds } from "../producer-ids.ts";
import type { CallAnswer } from "../protocol/calls.ts";
import type { DecodedMap, FrameReader } from "../protocol/reader.ts";
import type { FrameWriter } from "../protocol/writer.ts";
import type { Storage } from "../storage/storage.ts";
import type { Deliveries } from "./deliveries.ts";
import type { LiveTopics, SessionCatalogue } from "./live-topics.ts";

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
	debug(details: object, message: string): void;
	warn(details: object, message: string): void;
	error(details: object, message: string): void;
}

/** Who a client turned out to be. */
export interface Authenticated {
	readonly principal: string;
	/** When to prove it again, in milliseconds since 1970; absent: never. */
	readonly expiresMs?: number;
}

/**
 * Decides who a client is. Throws or rejects with NOT_AUTHENTICATED. Binaries in `credentials` are
 * views of the frame: gone once the function has returned or awaited for the first time.
 */
export type Authenticate = (
	credentials: DecodedMap | undefined,
) => Authenticated | Promise<Authenticated>;

/** A broker without authentication: everybody is anonymous, whatever they present. */
export const authenticateAnybody: Authenticate = () => ({ principal: "anonymous" });

export interface SessionHost {
	/** Name and version, such as "millrace/0.1.0". */
	readonly broker: string;
	readonly storage: SessionStorage;
	readonly catalogue: SessionCatalogue;
	readonly groups: GroupCoordinator;
	readonly topics: LiveTopics;
	readonly deliveries: Deliveries;
	readonly clock: Clock;
	readonly log: SessionLog;
	readonly authenticate: Authenticate;
	readonly producerIds: ProducerIds;
	readonly describeCluster: () => CallAnswer<"cluster.describe">;
	/**
	 * One writer for all frames of the loop: written, sent, and free again before anybody else runs.
	 */
	readonly writer: FrameWriter;
	/** One reader likewise: a frame is read to its end before anybody else runs. */
	readonly reader: FrameReader;
}
