/** What Kafka connections and handlers need of the broker around them; one for each event loop. */
import type { Clock } from "../clock.ts";
import type { Address, BrokerConfig } from "../config.ts";
import type { GroupCoordinator } from "../groups/coordinator.ts";
import type { MetadataWriter } from "../metadata/metadata-writer.ts";
import type { Storage } from "../storage/storage.ts";
import type { TopicCatalogue } from "../topics/catalogue.ts";
import type { ServedApi } from "./api.ts";
import type { FetchSessions } from "./fetch-sessions.ts";
import type { FrameBlocks } from "./frames.ts";
import type { KafkaWriter } from "./wire/writer.ts";

/** Where log lines go; pino is one. */
export interface KafkaLog {
	debug(details: object, message: string): void;
	warn(details: object, message: string): void;
	error(details: object, message: string): void;
}

export interface KafkaHost {
	/** This broker's number in the cluster, which is the leader of every partition. */
	readonly brokerId: number;
	/** What clients are told to connect to; null: the address that they dialled. */
	readonly advertise: Address | null;
	readonly config: BrokerConfig;
	readonly storage: Storage;
	readonly metadata: MetadataWriter;
	readonly catalogue: TopicCatalogue;
	readonly groups: GroupCoordinator;
	readonly fetchSessions: FetchSessions;
	/** A producer id that was never handed out before. */
	readonly nextProducerId: () => Promise<number>;
	readonly clock: Clock;
	readonly log: KafkaLog;
	/** Every API that is served, by its key. */
	readonly apis: ReadonlyMap<number, ServedApi>;
	/** Bytes of the longest request that is taken. */
	readonly frameBytesMax: number;
	/** Told by how much the bytes of requests that a connection holds have changed. */
	readonly heldBytesChanged: (change: number) => void;
	/** Memory for large requests that come in pieces. */
	readonly blocks: FrameBlocks;
	/** One writer for all answers of the loop: written and finished before anybody else runs. */
	readonly writer: KafkaWriter;
}
