import { EventEmitter } from "node:events";
import type { OpenSocket, Socket, SocketEvents } from "../../src/client/connection/socket.ts";
import type { BrokerSocket, ScriptedBroker } from "./scripted-broker.ts";

/** How long a message is on its way at most, in milliseconds. */
const LATENCY_MS_MAX = 3;

/**
 * What lies between clients and a scripted broker, on the test's clock and without sockets: each
 * direction of a connection keeps its order and takes a random time. What a client had sent when a
 * connection broke may arrive all the same, even behind what it sends on the next one.
 */
export class SimulatedNetwork {
	readonly #broker: ScriptedBroker;
	readonly #random: () => number;
	readonly #lateMsMax: number;
	readonly #connections = new Set<Connection>();

	/** @param lateMsMax how long what was sent on a broken connection may still be on its way */
	constructor(broker: ScriptedBroker, random: () => number, lateMsMax: number) {
		this.#broker = broker;
		this.#random = random;
		this.#lateMsMax = lateMsMax;
	}

	/** Opens connections as `connectWith` wants it. */
	readonly open: OpenSocket = (_url, _options, events) => {
		const connection = new Connection(this.#random, this.#lateMsMax, events);
		this.#connections.add(connection);
		this.#broker.accept(connection.brokerEnd);
		return connection;
	};

	/** Breaks every connection: its ends are told, and what is on its way to the client is lost. */
	cut(): void {
		for (const connection of this.#connections) connection.terminate();
		this.#connections.clear();
	}
}

/** Messages in one direction, in order. */
class Direction {
	readonly #random: () => number;
	readonly #waiting: { dueMs: number; arrive: () => void }[] = [];

	constructor(random: () => number) {
		this.#random = random;
	}

	push(arrive: () => void): void {
		const dueMs = performance.now() + Math.floor(this.#random() * LATENCY_MS_MAX);
		this.#waiting.push({ dueMs: Math.max(dueMs, this.#waiting.at(-1)?.dueMs ?? 0), arrive });
		if (this.#waiting.length === 1) this.#plan();
	}

	/** Holds up what is on its way. */
	delay(lateMs: number): void {
		for (const message of this.#waiting) message.dueMs += lateMs;
	}

	#plan(): void {
		const [next] = this.#waiting;
		if (next === undefined) return;
		setTimeout(() => {
			if (next.dueMs <= performance.now()) {
				this.#waiting.shift();
				next.arrive();
			}
			this.#plan();
		}, next.dueMs - performance.now());
	}
}

class Connection implements Socket {
	readonly brokerEnd: BrokerSocket;
	readonly #random: () => number;
	readonly #lateMsMax: number;
	readonly #events: SocketEvents;
	readonly #told = new EventEmitter();
	readonly #toBroker: Direction;
	readonly #toClient: Direction;
	#isClientGone = false;
	#isBrokerGone = false;

	constructor(random: () => number, lateMsMax: number, events: SocketEvents) {
		this.#random = random;
		this.#lateMsMax = lateMsMax;
		this.#events = events;
		this.#toBroker = new Direction(random);
		this.#toClient = new Direction(random);
		const isOpen = (): boolean => !this.#isBrokerGone;
		this.brokerEnd = {
			OPEN: 1,
			get readyState() {
				return isOpen() ? 1 : 3;
			},
			on: (event, listener) => this.#told.on(event, listener),
			send: (data) => {
				this.#toClient.push(() => this.#atClient(() => this.#events.message(data)));
			},
			close: (code) => this.#endAtBroker(code),
			terminate: () => this.#endAtBroker(1006),
		};
		this.#toClient.push(() => this.#atClient(() => this.#events.opened()));
	}

	send(message: Uint8Array): void {
		if (this.#isClientGone) return;
		const copy = Buffer.from(message);
		this.#toBroker.push(() => this.#atBroker(() => this.#told.emit("message", copy)));
	}

	close(code: number): void {
		if (this.#isClientGone) return;
		this.#toBroker.push(() => this.#endAtBroker(code));
		this.#toBroker.delay(Math.floor(this.#random() * this.#lateMsMax));
		this.#endAtClient(code);
	}

	terminate(): void {
		this.close(1006);
	}

	#atClient(happens: () => void): void {
		if (!this.#isClientGone) happens();
	}

	#atBroker(happens: () => void): void {
		if (!this.#isBrokerGone) happens();
	}

	#endAtClient(code: number): void {
		this.#isClientGone = true;
		setTimeout(() => this.#events.closed(code, "", undefined), 0);
	}

	#endAtBroker(code: number): void {
		if (this.#isBrokerGone) return;
		this.#isBrokerGone = true;
		this.#told.emit("close");
		this.#toClient.push(() => this.#atClient(() => this.#endAtClient(code)));
	}
}
