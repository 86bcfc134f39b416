/** Who makes a call and what calls use of the broker, whichever transport brings them. */
import type { AuditLog } from "../audit/audit-log.ts";
import type { Clock } from "../clock.ts";
import type { OverrideStore } from "../config/override-store.ts";
import type { GroupCoordinator } from "../groups/coordinator.ts";
import type { WatchedClient } from "../monitoring/client-watch.ts";
import type { CallAnswer } from "../protocol/calls.ts";
import type { FrameValue } from "../protocol/writer.ts";
import type { ClientQuotas } from "../quotas/client-quotas.ts";
import type { AclAuthorizer } from "../security/authorizer.ts";
import type { Peer } from "../security/principal.ts";
import type { Tickets } from "../security/tickets.ts";
import type { Users } from "../security/users.ts";
import type { Storage } from "../storage/storage.ts";
import type { LiveTopic, SessionCatalogue } from "../topics/live-topics.ts";

/** What an answer or a notice carries. */
export type AnswerMap = { readonly [key: string]: FrameValue };

export interface CallHost {
	readonly storage: Pick<
		Storage,
		"offsetForTimestamp" | "offsets" | "recoveryReport" | "verifyStep"
	>;
	readonly catalogue: SessionCatalogue;
	readonly groups: GroupCoordinator;
	/** Null: nobody keeps who changed what. */
	readonly audit: AuditLog | null;
	/** The access rules; null: authorization is off. */
	readonly acls: AclAuthorizer | null;
	/** What clients may do a second. */
	readonly quotas: ClientQuotas;
	/** Those who may log in. */
	readonly users: Users;
	/** What is set of the broker's settings while it runs. */
	readonly overrides: OverrideStore;
	/** Lets clients in as who asks; null: nobody is asked who they are. */
	readonly tickets: Tickets | null;
	readonly describeCluster: () => CallAnswer<"cluster.describe">;
	/** The clients of all listeners. */
	readonly listClients: () => WatchedClient[];
	readonly clock: Clock;
}

export interface Caller {
	readonly protocol: "websocket" | "http";
	readonly host: CallHost;
	readonly peer: Peer;
	readonly aliases: {
		/** The topic behind an alias, deleted or not; undefined: never opened. */
		get(alias: number): LiveTopic | undefined;
		/** A topic that is there. Throws UNKNOWN_ALIAS, TOPIC_DELETED, UNKNOWN_TOPIC_OR_PARTITION. */
		existing(nameOrAlias: string | number): LiveTopic;
	};
}
