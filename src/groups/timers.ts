/**
 * The deadlines of all groups on one timer: sessions, rebalances, members that are waited for.
 *
 * A wheel of slots, one a tick. Setting a deadline later, which is what every heartbeat does, only
 * stores a number: the wheel finds out when it comes to the slot in which the deadline stands, and
 * moves it on. So a heartbeat costs no timer, and a session is touched about once while it lasts.
 * Deadlines come up to one tick late, never early. Nothing runs while there are none.
 */
import type { Clock } from "../clock.ts";

/** How exact deadlines are, in milliseconds. */
export const TICK_MS = 100;
/** A turn of the wheel is 102 s, longer than most sessions; what is later goes round again. */
const SLOTS = 1_024;
const NOT_PLANNED = -1;

/** A point in time at which something is to be done, unless it is moved or cleared before. */
export interface Deadline {
	/** Plans it `delayMs` from now, whether it was planned before or not. */
	set(delayMs: number): void;
	/** Forgets what was planned. */
	clear(): void;
	readonly isSet: boolean;
}

export class Timers {
	readonly #clock: Clock;
	readonly #slots: (Set<Planned> | undefined)[] = new Array(SLOTS).fill(undefined);
	#count = 0;
	/** The last tick whose slot was looked at. */
	#tick: number;
	/** The tick for which the timer is set; NOT_PLANNED when it is not. */
	#wakeTick = NOT_PLANNED;
	#cancelWake: () => void = () => undefined;
	#isClosed = false;

	constructor(clock: Clock) {
		this.#clock = clock;
		this.#tick = this.#nowTick();
	}

	/** A deadline that calls `expire` when it comes; not planned yet. */
	deadline(expire: () => void): Deadline {
		return new Planned(this, expire);
	}

	/** Forgets every deadline; those set later are ignored. */
	close(): void {
		this.#isClosed = true;
		this.#cancelWake();
		this.#slots.fill(undefined);
	}

	/** @internal Files a deadline so that it is looked at when `delayMs` have passed, or before. */
	plan(planned: Planned, delayMs: number): void {
		if (this.#isClosed) return;
		// After a time without deadlines the wheel stands where it was left.
		if (this.#count === 0) this.#tick = Math.max(this.#tick, this.#nowTick());
		planned.atMs = this.#clock.monotonicMs() + Math.max(delayMs, 0);
		const tick = this.#dueTick(planned.atMs);
		if (planned.tick !== NOT_PLANNED) {
			if (planned.tick <= tick) return;
			this.remove(planned);
		}
		this.#file(planned, tick);
		if (this.#wakeTick === NOT_PLANNED || planned.tick < this.#wakeTick) this.#wakeAt(planned.tick);
	}

	/** @internal */
	remove(planned: Planned): void {
		if (planned.tick === NOT_PLANNED) return;
		this.#slots[planned.tick % SLOTS]?.delete(planned);
		planned.tick = NOT_PLANNED;
		this.#count--;
	}

	#file(planned: Planned, dueTick: number): void {
		// Beyond one turn of the wheel it is looked at once a turn.
		planned.tick = Math.min(dueTick, this.#tick + SLOTS - 1);
		const index = planned.tick % SLOTS;
		let slot = this.#slots[index];
		if (slot === undefined) {
			slot = new Set();
			this.#slots[index] = slot;
		}
		slot.add(planned);
		this.#count++;
	}

	#wakeAt(tick: number): void {
		this.#cancelWake();
		this.#wakeTick = tick;
		const delayMs = Math.max(tick * TICK_MS - this.#clock.monotonicMs(), 0);
		this.#cancelWake = this.#clock.after(Math.ceil(delayMs), () => this.#turn());
	}

	/** Looks at every slot that has come, then sleeps until the next one that holds anything. */
	#turn(): void {
		this.#wakeTick = NOT_PLANNED;
		const nowTick = this.#nowTick();
		// After a long sleep of the machine every slot has come once, not more.
		const slotsDue = Math.min(nowTick - this.#tick, SLOTS);
		const firstTick = nowTick - slotsDue + 1;
		const due: Planned[] = [];
		for (let tick = firstTick; tick <= nowTick; tick++) {
			const slot = this.#slots[tick % SLOTS];
			if (slot === undefined || slot.size === 0) continue;
			for (const planned of slot) {
				planned.tick = NOT_PLANNED;
				due.push(planned);
			}
			this.#count -= slot.size;
			this.#slots[tick % SLOTS] = undefined;
		}
		this.#tick = nowTick;
		const nowMs = this.#clock.monotonicMs();
		for (const planned of due) {
			// An earlier one of this turn may have cleared it, or set it anew.
			if (planned.atMs === Number.POSITIVE_INFINITY || planned.tick !== NOT_PLANNED) continue;
			if (planned.atMs > nowMs) this.#file(planned, this.#dueTick(planned.atMs));
			else planned.run();
		}
		this.#sleep();
	}

	#sleep(): void {
		if (this.#count === 0 || this.#isClosed) return;
		for (let tick = this.#tick + 1; tick < this.#tick + SLOTS; tick++) {
			const slot = this.#slots[tick % SLOTS];
			if (slot === undefined || slot.size === 0) continue;
			if (this.#wakeTick === NOT_PLANNED || tick < this.#wakeTick) this.#wakeAt(tick);
			return;
		}
	}

	/** The first tick at which the time has come, and which was not looked at yet. */
	#dueTick(atMs: number): number {
		return Math.max(Math.ceil(atMs / TICK_MS), this.#tick + 1);
	}

	#nowTick(): number {
		return Math.floor(this.#clock.monotonicMs() / TICK_MS);
	}
}

/** A deadline and where it stands in the wheel. */
class Planned implements Deadline {
	/** When it comes, on the monotonic clock; infinity: not set. */
	atMs = Number.POSITIVE_INFINITY;
	/** The tick in whose slot it stands. */
	tick = NOT_PLANNED;
	readonly #timers: Timers;
	readonly #expire: () => void;

	constructor(timers: Timers, expire: () => void) {
		this.#timers = timers;
		this.#expire = expire;
	}

	get isSet(): boolean {
		return this.atMs !== Number.POSITIVE_INFINITY;
	}

	set(delayMs: number): void {
		this.#timers.plan(this, delayMs);
	}

	clear(): void {
		this.atMs = Number.POSITIVE_INFINITY;
		this.#timers.remove(this);
	}

	run(): void {
		this.atMs = Number.POSITIVE_INFINITY;
		this.#expire();
	}
}
