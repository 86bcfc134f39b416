/** A broker for the tests of its users: in memory, with a clock and faults that a test commands. */
import type { BrokerAddresses } from "../addresses.ts";
import { Broker, type BrokerParts } from "../broker.ts";
import { MillraceError } from "../errors.ts";
import type { KafkaServer } from "../kafka/server.ts";
import type { Storage } from "../storage/storage.ts";
import type { WebSocketServer } from "../websocket/server.ts";
import type { AdvanceableClock } from "./advanceable-clock.ts";

/** A century: further on, sums of times could leave what 64 bits hold. */
const ADVANCE_MS_MAX = 100 * 365 * 86_400_000;
/** An hour: no test waits longer for an ack. */
const FLUSH_DELAY_MS_MAX = 3_600_000;

/** Whose connections are dropped. */
export interface DroppedClient {
	/** A Kafka client's `client.id`, or the `clientName` of a client of the SDK. */
	readonly clientId: string;
}

/** A broker that keeps everything in memory. */
export class MemoryBroker extends Broker {
	/** Its time. */
	readonly clock: BrokerClock;
	/** What goes wrong, for as long as a test wants it to. */
	readonly faults: BrokerFaults;
	#closing: Promise<void> | undefined;

	/** @internal */
	constructor(parts: BrokerParts, addresses: BrokerAddresses, clock: AdvanceableClock) {
		super(parts, addresses);
		const { storage, server, kafka } = parts;
		if (server === undefined || kafka === undefined) throw new Error("the broker has not started");
		this.clock = new BrokerClock(clock, storage);
		this.faults = new BrokerFaults(storage, server, kafka);
	}

	/** Takes all faults back and stops; see `Broker.close`. */
	override async close(): Promise<void> {
		this.#closing ??= this.faults.clear().then(() => super.close());
		return this.#closing;
	}
}

/**
 * The time that a broker goes by: that of records without one, of retention and compaction, of the
 * time-outs of groups and requests. It runs as the machine's does, and ahead of it once advanced.
 */
export class BrokerClock {
	readonly #clock: AdvanceableClock;
	readonly #storage: Storage;

	/** @internal */
	constructor(clock: AdvanceableClock, storage: Storage) {
		this.#clock = clock;
		this.#storage = storage;
	}

	/** Milliseconds since 1970. */
	now(): number {
		return this.#clock.wallMs();
	}

	/**
	 * Lets time pass at once, as for a machine that slept, and resolves when what came due by it is
	 * done: time-outs have run out, and retention has deleted what it does not keep, if it was time
	 * to look (`log.retention.check.interval.ms`, 5 minutes). Throws INVALID_ARGUMENT unless it is a
	 * whole number of milliseconds from 0 to 100 years.
	 */
	async advance(milliseconds: number): Promise<void> {
		checkWhole("milliseconds", milliseconds, ADVANCE_MS_MAX);
		// The core first: what comes due here may ask it what time it is.
		const settled = this.#storage.advanceClock(milliseconds);
		this.#clock.advance(milliseconds);
		await settled;
		// Behind the timers that have come due.
		await new Promise((resolve) => setTimeout(resolve));
	}
}

/** Faults of the machine under a broker. Each lasts until it is taken back. */
export class BrokerFaults {
	readonly #storage: Storage;
	readonly #servers: readonly [WebSocketServer, KafkaServer];

	/** @internal */
	constructor(storage: Storage, webSocket: WebSocketServer, kafka: KafkaServer) {
		this.#storage = storage;
		this.#servers = [webSocket, kafka];
	}

	/**
	 * Fills the disk: from when it resolves, records are refused with DISK_FULL (Kafka:
	 * KAFKA_STORAGE_ERROR), which producers try again, and new topics likewise; everything else goes
	 * on.
	 */
	fullDisk(): Promise<void> {
		return this.#storage.setDiskFull(true);
	}

	/** There is room on the disk again; from when it resolves, records are taken. */
	freeDisk(): Promise<void> {
		return this.#storage.setDiskFull(false);
	}

	/**
	 * Has each flush take at least so long, those under way included: acks that wait for one come so
	 * much later. 0 is as quick as before. Throws INVALID_ARGUMENT unless it is a whole number of
	 * milliseconds up to an hour.
	 */
	slowFlush(milliseconds: number): void {
		checkWhole("milliseconds", milliseconds, FLUSH_DELAY_MS_MAX);
		this.#storage.setFlushDelay(milliseconds);
	}

	/**
	 * Drops connections as a network does that fails, without a word: all of them, or those of one
	 * client. Whoever connects again is served. Returns how many there were.
	 */
	dropConnections(client?: DroppedClient): number {
		const isMeant = (name: string) => client === undefined || name === client.clientId;
		return this.#servers.reduce((count, server) => count + server.dropConnections(isMeant), 0);
	}

	/** Takes all faults back. */
	async clear(): Promise<void> {
		this.slowFlush(0);
		await this.freeDisk();
	}
}

function checkWhole(name: string, value: number, max: number): void {
	if (Number.isSafeInteger(value) && value >= 0 && value <= max) return;
	throw new MillraceError("INVALID_ARGUMENT", `${name} is ${value}, not 0 to ${max}`);
}
