/** What Kafka connections and handlers need of the broker around them; one for each event loop. */
import type { AuditLog } from "../audit/audit-log.ts";
import type { Clock } from "../clock.ts";
import type { Address } from "../config/address.ts";
import type { BrokerConfig } from "../config/options.ts";
import type { OverrideStore } from "../config/override-store.ts";
import type { GroupCoordinator } from "../groups/coordinator.ts";
import type { Logs } from "../log.ts";
import type { MetadataWriter } from "../metadata/metadata-writer.ts";
import type { RequestFigures } from "../monitoring/request-figures.ts";
import type { TopicTraffic } from "../monitoring/topic-traffic.ts";
import type { ClientQuotas } from "../quotas/client-quotas.ts";
import type { AclAuthorizer, Authorizer } from "../security/authorizer.ts";
import type { Users } from "../security/users.ts";
import type { Storage } from "../storage/storage.ts";
import type { TopicCatalogue } from "../topics/catalogue.ts";
import type { ServedApi } from "./api.ts";
import type { FetchSessions } from "./fetch-sessions.ts";
import type { FrameBlocks } from "./frames.ts";
import type { SaslListener } from "./sasl-session.ts";
import type { KafkaWriter } from "./wire/writer.ts";

/** Where log lines go; pino is one. */
export interface KafkaLog {
	trace(details: object, message: string): void;
	debug(details: object, message: string): void;
	warn(details: object, message: string): void;
	error(details: object, message: string): void;
}

/** Loggers whose levels clients see and set. */
export type LogLevels = Pick<Logs, "levelOf" | "set">;

export interface KafkaHost {
	/** This broker's number in the cluster, which is the leader of every partition. */
	readonly brokerId: number;
	/** What clients are told to connect to; null: the address that they dialled. */
	readonly advertise: Address | null;
	readonly config: BrokerConfig;
	/** What is set of the configuration while the broker runs. */
	readonly overrides: OverrideStore;
	readonly storage: Storage;
	readonly metadata: MetadataWriter;
	readonly catalogue: TopicCatalogue;
	readonly groups: GroupCoordinator;
	readonly users: Users;
	/** What clients may do a second. */
	readonly quotas: ClientQuotas;
	/** How clients say who they are; null: they are not asked. */
	readonly sasl: SaslListener | null;
	readonly fetchSessions: FetchSessions;
	/** Whom connections ask what their clients may do. */
	readonly authorizer: Authorizer;
	/** The access rules; null: authorization is off. */
	readonly acls: AclAuthorizer | null;
	/** Null: nobody keeps who changed what. */
	readonly audit: AuditLog | null;
	/** A producer id that was never handed out before. */
	readonly nextProducerId: () => Promise<number>;
	readonly clock: Clock;
	readonly log: KafkaLog;
	readonly logs: LogLevels;
	/** Every API that is served, by its key. */
	readonly apis: ReadonlyMap<number, ServedApi>;
	/** Bytes of the longest request that is taken. */
	readonly frameBytesMax: number;
	/** Told by how much the bytes of requests that a connection holds have changed. */
	readonly heldBytesChanged: (change: number) => void;
	/** Memory for large requests that come in pieces. */
	readonly blocks: FrameBlocks;
	/** Counts requests and errors, by API key. */
	readonly requests: RequestFigures;
	/** Counts records, by topic. */
	readonly traffic: TopicTraffic;
	/** One writer for all answers of the loop: written and finished before anybody else runs. */
	readonly writer: KafkaWriter;
}
