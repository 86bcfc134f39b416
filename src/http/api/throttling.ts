/**
 * How those who ask over HTTP are held to their quotas. A client keeps no connection that could be
 * made to wait, and nothing tells one program from another: who is counted is a user at an
 * address, with the client id "".
 *
 * - A request over the quota is carried out, and answered as any other.
 * - Those that come before its wait is over are refused with the time that is left, before
 *   anything is done: whoever repeats them then does nothing twice.
 */
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import type { ClientQuotas } from "../../quotas/client-quotas.ts";
import type { ConnectionQuota } from "../../quotas/connection-quota.ts";
import { type Principal, plainAddress } from "../../security/principal.ts";
import type { Described } from "./call-routes.ts";

/** There is no header that everybody has for it. */
const CLIENT_ID = "";

export class Throttling {
	readonly #quotas: ClientQuotas;
	readonly #nextId: () => number;
	/** By address and principal, those first that were made first. */
	readonly #parties = new Map<string, ConnectionQuota>();

	/** `nextId` numbers them as connections are numbered. */
	constructor(quotas: ClientQuotas, nextId: () => number) {
		this.#quotas = quotas;
		this.#nextId = nextId;
	}

	/**
	 * Counts a request and the bytes of its body; answers what its records are counted with. Throws
	 * THROTTLING_QUOTA_EXCEEDED for one that has to wait, which is not counted.
	 */
	admit(
		principal: Principal,
		remoteAddress: string,
		{ traffic }: Pick<Described, "traffic">,
		bodyBytes: number,
	): ConnectionQuota {
		const quota = this.#partyOf(principal, plainAddress(remoteAddress));
		const waits = [quota.waitOf("request"), traffic && quota.waitOf(traffic)];
		const [longest] = waits.flatMap((wait) => wait ?? []).sort((left, right) => right.ms - left.ms);
		if (longest !== undefined) {
			const retryAfterMs = Math.ceil(longest.ms);
			throw new MillraceError("THROTTLING_QUOTA_EXCEEDED", longest.quota, { retryAfterMs });
		}
		quota.identify(principal, CLIENT_ID);
		quota.charge("request", 1);
		if (traffic === "produce") quota.charge("produce", bodyBytes);
		return quota;
	}

	#partyOf(principal: Principal, address: string): ConnectionQuota {
		const name = `${address} ${principal}`;
		const known = this.#parties.get(name);
		if (known !== undefined) return known;
		this.#makeRoom();
		const origin = { protocol: "http", connectionId: this.#nextId(), address } as const;
		const quota = this.#quotas.connection(origin, () => undefined);
		this.#parties.set(name, quota);
		return quota;
	}

	/** Those go first for whom nothing would change by it, then the oldest. */
	#makeRoom(): void {
		if (this.#parties.size < LIMITS.quotaRatesMax) return;
		for (const [name, quota] of this.#parties) if (quota.isIdle) this.#forget(name, quota);
		for (const [name, quota] of this.#parties) {
			if (this.#parties.size < LIMITS.quotaRatesMax / 2) break;
			this.#forget(name, quota);
		}
	}

	#forget(name: string, quota: ConnectionQuota): void {
		quota.close();
		this.#parties.delete(name);
	}
}
