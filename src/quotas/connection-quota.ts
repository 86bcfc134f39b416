import { LIMITS } from "../limits.ts";
import type { ClientQuotas } from "./client-quotas.ts";
import type { QuotaEntity } from "./quota-entity.ts";
import { QUOTA_KINDS, type QuotaKey, type Traffic } from "./quota-keys.ts";
import type { QuotaLimit } from "./quota-store.ts";
import { WindowedRate } from "./windowed-rate.ts";

/**
 * A connection as those are told of it who ask who is throttled. Over HTTP, where connections are
 * nobody's, it is a user at an address.
 */
export interface QuotaOrigin {
	readonly protocol: "kafka" | "websocket" | "http";
	readonly connectionId: number;
	readonly address: string;
}

/** A connection that waits because of a quota. */
export interface ThrottledClient extends QuotaOrigin {
	readonly user: string;
	readonly clientId: string;
	readonly quota: QuotaKey;
	readonly bound: number;
	/** Whom the quota is set for. */
	readonly entity: QuotaEntity;
	/** How long it has to wait yet. */
	readonly leftMs: number;
}

/** A wait, and why. */
export interface Throttle {
	readonly ms: number;
	readonly quota: QuotaKey;
}

interface Counted {
	readonly limit: QuotaLimit;
	readonly rate: WindowedRate;
}

interface Wait {
	readonly untilMs: number;
	readonly limit: QuotaLimit;
	readonly user: string;
	readonly clientId: string;
}

const NONE: readonly Counted[] = [];

/** What one connection is counted with, and how long it has to wait. Nothing is kept back here. */
export class ConnectionQuota {
	readonly origin: QuotaOrigin;
	readonly #quotas: ClientQuotas;
	readonly #lifted: () => void;
	/** Rates of this connection alone: another client id does not make them new. */
	readonly #own = new Map<QuotaKey, WindowedRate>();
	readonly #waits = new Map<Traffic, Wait>();
	#principal: string | undefined;
	#user = "";
	#clientId = "";
	#epoch = -1;
	#counted: Partial<Record<Traffic, Counted[]>> = {};
	#cancelTimer: (() => void) | undefined;
	#isClosed = false;

	constructor(quotas: ClientQuotas, origin: QuotaOrigin, lifted: () => void) {
		this.#quotas = quotas;
		this.origin = origin;
		this.#lifted = lifted;
	}

	/** Says who asks from now on. */
	identify(principal: string, clientId: string): void {
		const { store } = this.#quotas;
		const isKnown = principal === this.#principal && clientId === this.#clientId;
		if (isKnown && store.epoch === this.#epoch) return;
		this.#principal = principal;
		this.#user = principal.slice(principal.indexOf(":") + 1);
		// Longer ones are counted together: quotas have no such names.
		this.#clientId = clientId.slice(0, LIMITS.quotaNameBytesMax);
		this.#epoch = store.epoch;
		this.#counted = {};
		for (const limit of store.limitsOf(this.#user, this.#clientId)) {
			const { traffic, scope } = QUOTA_KINDS[limit.key];
			const rate = scope === "connection" ? this.#ownRate(limit.key) : this.#quotas.rateOf(limit);
			const counted = this.#counted[traffic] ?? [];
			this.#counted[traffic] = counted;
			counted.push({ limit, rate });
		}
	}

	/** Counts; where that is too much, answers how long the client has to wait. */
	charge(traffic: Traffic, amount: number): Throttle | undefined {
		const nowMs = this.#quotas.clock.monotonicMs();
		let longestMs = 0;
		let broken: QuotaLimit | undefined;
		for (const { limit, rate } of this.#counted[traffic] ?? NONE) {
			rate.record(amount, nowMs);
			const ms = Math.min(rate.excessMs(limit.bound, nowMs), LIMITS.throttleMsMax);
			if (ms <= longestMs) continue;
			longestMs = ms;
			broken = limit;
		}
		// What was under way when the connection ended still counts for its client.
		if (broken === undefined || this.#isClosed) return undefined;
		const addedMs = longestMs - this.waitMs(traffic);
		const untilMs = nowMs + longestMs;
		const { key: quota } = broken;
		// As another client it may have to wait for longer.
		if (addedMs > 0) {
			const [user, clientId] = [this.#user, this.#clientId];
			this.#waits.set(traffic, { untilMs, limit: broken, user, clientId });
		}
		this.#quotas.throttled(this, quota, Math.max(addedMs, 0));
		this.#plan(nowMs);
		return { ms: Math.ceil(longestMs), quota };
	}

	/** Milliseconds that are left to wait with traffic of that kind; 0: none. */
	waitMs(traffic: Traffic): number {
		const wait = this.#waits.get(traffic);
		return wait === undefined ? 0 : Math.max(wait.untilMs - this.#quotas.clock.monotonicMs(), 0);
	}

	/** What is left to wait with traffic of that kind, and why; undefined: nothing. */
	waitOf(traffic: Traffic): Throttle | undefined {
		const wait = this.#waits.get(traffic);
		const ms = this.waitMs(traffic);
		return wait === undefined || ms <= 0 ? undefined : { ms, quota: wait.limit.key };
	}

	/** Whether it waits for nothing and has counted nothing of its own: a new one is as good. */
	get isIdle(): boolean {
		const nowMs = this.#quotas.clock.monotonicMs();
		return this.#waits.size === 0 && [...this.#own.values()].every((rate) => rate.isIdle(nowMs));
	}

	/** The longest wait of all. */
	get longestWaitMs(): number {
		let longestMs = 0;
		for (const traffic of this.#waits.keys()) longestMs = Math.max(longestMs, this.waitMs(traffic));
		return longestMs;
	}

	/** As much as may be had at once after a silence. */
	amountMax(traffic: Traffic): number {
		const { samples, sampleMs } = this.#quotas.window;
		const windowSeconds = (Math.max(samples - 1, 1) * sampleMs) / 1_000;
		const bounds = (this.#counted[traffic] ?? NONE).map(({ limit }) => limit.bound);
		return Math.max(1, Math.floor(Math.min(...bounds) * windowSeconds));
	}

	/** What it waits for now, by each quota. */
	throttles(): ThrottledClient[] {
		const clients: ThrottledClient[] = [];
		for (const [traffic, { limit, user, clientId }] of this.#waits) {
			const leftMs = this.waitMs(traffic);
			if (leftMs <= 0) continue;
			const { key: quota, bound, entity } = limit;
			clients.push({ ...this.origin, user, clientId, quota, bound, entity, leftMs });
		}
		return clients;
	}

	/** Waits no longer. */
	lift(): void {
		this.#forget();
		this.#lifted();
	}

	/** The connection is gone, or about to go: it waits for nothing any more. */
	close(): void {
		this.#isClosed = true;
		this.#forget();
	}

	#forget(): void {
		this.#cancelTimer?.();
		this.#cancelTimer = undefined;
		this.#waits.clear();
		this.#quotas.released(this);
	}

	#ownRate(key: QuotaKey): WindowedRate {
		const rate = this.#own.get(key) ?? new WindowedRate(this.#quotas.window);
		this.#own.set(key, rate);
		return rate;
	}

	/** Has a timer for the wait that ends first. */
	#plan(nowMs: number): void {
		this.#cancelTimer?.();
		const firstMs = Math.min(...[...this.#waits.values()].map(({ untilMs }) => untilMs));
		this.#cancelTimer = this.#quotas.clock.after(Math.ceil(firstMs - nowMs), () => this.#elapsed());
	}

	#elapsed(): void {
		this.#cancelTimer = undefined;
		const nowMs = this.#quotas.clock.monotonicMs();
		for (const [traffic, { untilMs }] of this.#waits) {
			if (untilMs <= nowMs) this.#waits.delete(traffic);
		}
		if (this.#waits.size > 0) this.#plan(nowMs);
		else this.#quotas.released(this);
		this.#lifted();
	}
}
