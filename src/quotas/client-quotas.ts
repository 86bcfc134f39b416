/**
 * Counts what clients do against their quotas; one for each event loop, whatever the protocol, so
 * that who speaks several has one limit.
 */
import type { Clock } from "../clock.ts";
import { LIMITS } from "../limits.ts";
import { ConnectionQuota, type QuotaOrigin, type ThrottledClient } from "./connection-quota.ts";
import { entityKey } from "./quota-entity.ts";
import type { QuotaKey } from "./quota-keys.ts";
import type { QuotaLimit, QuotaStore } from "./quota-store.ts";
import { type RateWindow, WindowedRate } from "./windowed-rate.ts";

/** Throttling of one protocol's clients by one quota. */
export interface ThrottleFigures {
	/** Milliseconds that clients were told to wait, all together. */
	totalMs: number;
	/** Clients that wait now. */
	clients: number;
}

export class ClientQuotas {
	readonly store: QuotaStore;
	readonly clock: Clock;
	readonly window: RateWindow;
	/** By quota and who shares it, those first that were made first. */
	readonly #rates = new Map<string, WindowedRate>();
	readonly #throttled = new Set<ConnectionQuota>();
	readonly #throttledMs = new Map<string, number>();
	#isAny: boolean;

	constructor(store: QuotaStore, clock: Clock, window: RateWindow) {
		this.store = store;
		this.clock = clock;
		this.window = window;
		this.#isAny = !store.isEmpty;
		store.onChange(() => {
			this.#isAny = !store.isEmpty;
			// Whoever was given more is not to wait for what no longer holds.
			for (const quota of [...this.#throttled]) quota.lift();
		});
	}

	/** Whether there are quotas at all: all that is asked where there are none. */
	get isAny(): boolean {
		return this.#isAny;
	}

	/** What counts for a connection; `lifted` is called whenever a wait of it may be over. */
	connection(origin: QuotaOrigin, lifted: () => void): ConnectionQuota {
		return new ConnectionQuota(this, origin, lifted);
	}

	/** The rate that all share who fall under a limit. */
	rateOf({ key, sharedBy }: QuotaLimit): WindowedRate {
		const name = `${key} ${entityKey(sharedBy)}`;
		let rate = this.#rates.get(name);
		if (rate === undefined) {
			this.#makeRoom();
			rate = new WindowedRate(this.window);
			this.#rates.set(name, rate);
		}
		return rate;
	}

	/** Notes that a connection has to wait. */
	throttled(quota: ConnectionQuota, key: QuotaKey, ms: number): void {
		this.#throttled.add(quota);
		const name = `${quota.origin.protocol} ${key}`;
		this.#throttledMs.set(name, (this.#throttledMs.get(name) ?? 0) + ms);
	}

	/** It waits no longer, or is gone. */
	released(quota: ConnectionQuota): void {
		this.#throttled.delete(quota);
	}

	/** Who waits now, at most so many. */
	list(countMax: number = LIMITS.throttledListedMax): ThrottledClient[] {
		const clients: ThrottledClient[] = [];
		for (const quota of this.#throttled) {
			clients.push(...quota.throttles());
			if (clients.length >= countMax) break;
		}
		return clients.slice(0, countMax);
	}

	/** By protocol and quota, with a blank between. */
	figures(): ReadonlyMap<string, ThrottleFigures> {
		const figures = new Map<string, ThrottleFigures>();
		for (const [name, totalMs] of this.#throttledMs) figures.set(name, { totalMs, clients: 0 });
		for (const quota of this.#throttled) {
			for (const { protocol, quota: key } of quota.throttles()) {
				const of = figures.get(`${protocol} ${key}`);
				if (of !== undefined) of.clients++;
			}
		}
		return figures;
	}

	/**
	 * Client ids are made up by clients. Rates in which nothing is left to count go first, then the
	 * oldest: whoever invents names loses nothing by it, and gains what a new name would gain.
	 */
	#makeRoom(): void {
		if (this.#rates.size < LIMITS.quotaRatesMax) return;
		const nowMs = this.clock.monotonicMs();
		for (const [name, rate] of this.#rates) if (rate.isIdle(nowMs)) this.#rates.delete(name);
		for (const name of this.#rates.keys()) {
			if (this.#rates.size < LIMITS.quotaRatesMax / 2) break;
			this.#rates.delete(name);
		}
	}
}
