/** What the HTTP API needs of the broker around it, and who asks it. */
import type { Caller, CallHost } from "../../calls/caller.ts";
import type { Clock } from "../../clock.ts";
import { MillraceError } from "../../errors.ts";
import type { TopicTraffic } from "../../monitoring/topic-traffic.ts";
import type { ConnectionQuota } from "../../quotas/connection-quota.ts";
import type { Authorizer } from "../../security/authorizer.ts";
import { Peer } from "../../security/principal.ts";
import type { SaslIdentity } from "../../security/sasl/mechanism.ts";
import type { Storage } from "../../storage/storage.ts";
import { LiveTopic, topicNamed } from "../../topics/live-topics.ts";

export interface ApiHost extends CallHost {
	readonly storage: Storage;
	readonly authorizer: Authorizer;
	readonly traffic: TopicTraffic;
	readonly clock: Clock;
	/** Takes what is no fault of a client's. */
	readonly log: { error(details: object, message: string): void };
}

/** Who asks, for one request. There are no aliases: nothing outlives the answer. */
export class ApiCaller implements Caller {
	readonly protocol = "http";
	readonly host: ApiHost;
	readonly peer: Peer;
	readonly aliases: Caller["aliases"];
	/** What counts for who asks; null where there are no quotas. */
	readonly quota: ConnectionQuota | null;

	constructor(
		host: ApiHost,
		identity: SaslIdentity,
		address: string,
		quota: ConnectionQuota | null,
	) {
		this.host = host;
		this.quota = quota;
		this.peer = new Peer(address, host.authorizer);
		this.peer.become(identity.principal, identity.expiresMs);
		this.aliases = {
			get: () => undefined,
			existing: (nameOrAlias) => {
				if (typeof nameOrAlias !== "string") {
					throw new MillraceError("UNKNOWN_ALIAS", `${nameOrAlias}`);
				}
				return new LiveTopic(topicNamed(host.catalogue, nameOrAlias));
			},
		};
	}
}
