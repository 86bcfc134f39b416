/**
 * Which clients are slow, why, and since when: looked at every few seconds, so that telling it
 * costs nothing, and what passes in between is not told.
 */

import type { SlowReason } from "../protocol/calls.ts";

export interface Slowness {
	readonly reason: SlowReason;
	/** By the monotonic clock. */
	readonly sinceMs: number;
}

/** What there is to see of a client at a moment. */
export interface ClientState {
	/** Since when it has taken nothing of what it was sent; undefined: it has taken everything. */
	readonly unreadSinceMs: number | undefined;
	/** Since when records wait that it does not ask for; undefined: it asks, or has everything. */
	readonly unaskedSinceMs: number | undefined;
	/** Records that it has not been sent of those that it reads. */
	readonly lagRecords: number;
}

/** How often clients are looked at, in milliseconds. */
export const LOOK_MS = 2_000;

/** Every client is this slow now and then. */
const SLOW_AFTER_MS = 2_000;

/** A lag that grows for less may be a peak of the producers'. */
const BEHIND_AFTER_MS = 10_000;

/** Growth that says nothing: in records, and as a share of the lag. */
const NOISE_RECORDS = 100;
const NOISE_SHARE = 0.1;

export class ClientWatch {
	#slowness: Slowness | null = null;
	#lagRecords = 0;
	/** The smallest lag since it last grew less, and when that was seen. */
	#leastLagRecords = 0;
	#leastLagMs = Number.NEGATIVE_INFINITY;
	/** When it was first seen to lag, of the times that it did without a break. */
	#laggingSinceMs = Number.POSITIVE_INFINITY;

	/** As it was last seen. */
	get slowness(): Slowness | null {
		return this.#slowness;
	}

	get lagRecords(): number {
		return this.#lagRecords;
	}

	look(nowMs: number, state: ClientState): void {
		const { lagRecords, unreadSinceMs, unaskedSinceMs } = state;
		const isFirst = this.#leastLagMs === Number.NEGATIVE_INFINITY;
		if (isFirst || lagRecords <= this.#leastLagRecords) {
			this.#leastLagRecords = lagRecords;
			this.#leastLagMs = nowMs;
		}
		this.#lagRecords = lagRecords;
		if (lagRecords === 0) this.#laggingSinceMs = Number.POSITIVE_INFINITY;
		else this.#laggingSinceMs = Math.min(this.#laggingSinceMs, nowMs);
		// It may not ask for long before there is something to ask for.
		const notAskingMs =
			unaskedSinceMs === undefined ? undefined : Math.max(unaskedSinceMs, this.#laggingSinceMs);
		this.#slowness =
			lasting("not_reading", unreadSinceMs, nowMs, SLOW_AFTER_MS) ??
			lasting("not_asking", notAskingMs, nowMs, SLOW_AFTER_MS) ??
			this.#behind(nowMs);
	}

	#behind(nowMs: number): Slowness | null {
		const noise = Math.max(NOISE_RECORDS, this.#leastLagRecords * NOISE_SHARE);
		const isGrowing = this.#lagRecords > this.#leastLagRecords + noise;
		const sinceMs = isGrowing ? this.#leastLagMs : undefined;
		return lasting("falling_behind", sinceMs, nowMs, BEHIND_AFTER_MS);
	}
}

function lasting(
	reason: SlowReason,
	sinceMs: number | undefined,
	nowMs: number,
	leastMs: number,
): Slowness | null {
	return sinceMs !== undefined && nowMs - sinceMs >= leastMs ? { reason, sinceMs } : null;
}

/** A client as it is listed. */
export interface WatchedClient {
	/** Tells it from the others of its event loop, whatever their protocol; rises. */
	readonly id: number;
	readonly protocol: "kafka" | "websocket";
	readonly principal: string;
	/** What it calls itself; "" where it has not said. */
	readonly clientName: string;
	readonly remoteAddress: string;
	/** By the monotonic clock. */
	readonly openedMs: number;
	/** Bytes that it was sent and has not taken yet. */
	readonly bufferedBytes: number;
	/** Null: it was never seen to be slow or behind. */
	readonly watch: ClientWatch | null;
}

/** How many clients are slow, by reason. */
export function countSlow(
	clients: Iterable<Pick<WatchedClient, "watch">>,
): Record<SlowReason, number> {
	const counts = { not_reading: 0, not_asking: 0, falling_behind: 0 };
	for (const { watch } of clients) {
		const reason = watch?.slowness?.reason;
		if (reason !== undefined) counts[reason]++;
	}
	return counts;
}
