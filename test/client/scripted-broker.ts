import { once } from "node:events";
import { Packr } from "msgpackr";
import { onTestFinished } from "vitest";
import { WebSocketServer } from "ws";

import { reservePort } from "../ports.ts";

/** What the script makes of a produce frame: see `ScriptedBroker.onProduce`. */
export type ProduceAction =
	| "answer"
	/** Store nothing and cut the connection. */
	| "lose"
	/** Store everything, cut the connection, answer nothing. */
	| "store_and_lose"
	/** Store nothing and never answer. */
	| "ignore"
	/** Refuse every entry with this code. */
	| number
	/** Store everything, if so, and refuse the frame as a whole with this code. */
	| { readonly refused: number; readonly isStored: boolean };

/** What the script answers to a call; undefined: it knows no such call. */
export type Called = Record<string, unknown> | number | undefined;

/** The end of a connection that a scripted broker has: a WebSocket, or what stands for one. */
export interface BrokerSocket {
	readonly readyState: number;
	readonly OPEN: number;
	on(event: "close" | "message", listener: (data: Buffer) => void): unknown;
	send(data: Uint8Array): void;
	close(code: number): void;
	terminate(): void;
}

export interface StoredRecord {
	value: Uint8Array | null;
	key: Uint8Array | null;
	timestamp: number;
	headers: [string, Uint8Array | null][];
}

export interface ProduceEntry {
	topic: string;
	partition: number;
	baseSequence: number;
	format: number;
	records: StoredRecord[];
}

interface Written {
	base: number;
	count: number;
	offset: number;
}

interface Partition {
	records: StoredRecord[];
	logStart: number;
	/** The last five batches of each producer. */
	producers: Map<string, Written[]>;
	/** Offsets that were set aside: from, to. */
	damaged: [number, number] | undefined;
}

interface Topic {
	id: string;
	partitions: Partition[];
}

interface Subscription {
	topic: string;
	partition: number;
	next: number;
	credit: [number, number];
	caughtUp: boolean;
}

interface Session {
	socket: BrokerSocket;
	producer: { id: number; epoch: number };
	subscriptions: Map<number, Subscription>;
}

const packr = new Packr({ useRecords: false, int64AsType: "number", mapsAsObjects: true });

const LIMITS = {
	frame_bytes_max: 8_388_608,
	record_bytes_max: 1_048_576,
	in_flight_bytes_max: 16_777_216,
	in_flight_requests_max: 1_024,
	credit_bytes_max: 67_108_864,
	credit_records_max: 10_000_000,
	subscriptions_max: 1_024,
	aliases_max: 1_024,
	produce_entries_max: 1_024,
};

/**
 * A broker in memory that speaks the real frames, read and written by another MessagePack library,
 * numbers batches as the core does, keeps credit, and fails where the test says.
 */
export class ScriptedBroker {
	readonly topics = new Map<string, Topic>();
	readonly sessions = new Set<Session>();
	readonly limits = { ...LIMITS };
	/** Every produce frame that arrived, in order. */
	readonly frames: { entries: ProduceEntry[]; bytes: number; producerId: number }[] = [];
	/** Frames of other operations that arrived: [operation, ...]. */
	readonly requests: unknown[][] = [];
	readonly hellos: Record<string, unknown>[] = [];
	onProduce: (entries: ProduceEntry[], frame: number) => ProduceAction | Promise<ProduceAction> =
		() => "answer";
	/** Refuses hello with this code. */
	helloCode = 0;
	/** Refuses auth with this code, for a second. */
	authCode = 0;
	/** Calls are answered when this has resolved. */
	callsHeld: Promise<void> | undefined;
	/** What it says that it can do. */
	features: string[] = [];
	/** Answers calls that are not the script's own: a map, or the code of a refusal. */
	onCall: (name: string, takes: Record<string, unknown>) => Promise<Called> = async () => undefined;
	/** Takes no notice of frames of this operation. */
	ignored: number | undefined;
	ackReached = 1;
	unansweredMax = 0;
	overCredit = 0;
	#unanswered = 0;
	#nextProducer = 100;
	#nextTopic = 1;
	#server: WebSocketServer | undefined;
	#port = 0;

	/** Listens at a port that it may be killed and listen at again, until the test ends. */
	static async start(): Promise<ScriptedBroker> {
		const broker = new ScriptedBroker();
		broker.#port = await reservePort(onTestFinished);
		await broker.listen();
		return broker;
	}

	get url(): string {
		return `ws://127.0.0.1:${this.#port}`;
	}

	async listen(): Promise<void> {
		this.#server = new WebSocketServer({
			host: "127.0.0.1",
			port: this.#port,
			handleProtocols: () => "millrace.v1",
		});
		this.#server.on("connection", (socket) => this.accept(socket));
		await once(this.#server, "listening");
	}

	/** Cuts every connection and stops listening, as a broker that was killed. */
	async kill(): Promise<void> {
		this.cut();
		const server = this.#server;
		this.#server = undefined;
		if (server !== undefined) await new Promise((resolve) => server.close(resolve));
	}

	/** Cuts every connection. */
	cut(): void {
		for (const { socket } of this.sessions) socket.terminate();
	}

	/** Ends every connection as one whose credentials have run out. */
	expire(): void {
		for (const { socket } of this.sessions) socket.close(4401);
	}

	create(name: string, partitions = 1): Topic {
		const topic: Topic = { id: `id-${this.#nextTopic++}`, partitions: [] };
		this.topics.set(name, topic);
		this.grow(name, partitions);
		return topic;
	}

	grow(name: string, partitions: number): void {
		const topic = this.topics.get(name) as Topic;
		while (topic.partitions.length < partitions) {
			topic.partitions.push({
				records: [],
				logStart: 0,
				producers: new Map(),
				damaged: undefined,
			});
		}
		this.tell(136, "partitions_changed", { topic: name, topic_id: topic.id, partitions });
	}

	/** Sends a frame to every connection. */
	tell(...frame: unknown[]): void {
		for (const session of this.sessions) this.#send(session, frame);
	}

	partition(topic: string, partition = 0): Partition {
		return (this.topics.get(topic) as Topic).partitions[partition] as Partition;
	}

	/** The values of a partition, decoded as text. */
	texts(topic: string, partition = 0): string[] {
		return this.partition(topic, partition).records.map(({ value }) => String(value));
	}

	append(topic: string, partition: number, values: (string | Uint8Array)[]): void {
		for (const value of values) {
			this.partition(topic, partition).records.push({
				value: typeof value === "string" ? Buffer.from(value) : value,
				key: null,
				timestamp: 1_700_000_000_000,
				headers: [],
			});
		}
		this.#deliverAll();
	}

	/** Takes a connection. */
	accept(socket: BrokerSocket): void {
		const session: Session = {
			socket,
			producer: { id: -1, epoch: 0 },
			subscriptions: new Map(),
		};
		this.sessions.add(session);
		socket.on("close", () => this.sessions.delete(session));
		socket.on("message", (data) => {
			const frame = packr.unpack(data) as unknown[];
			if (frame[0] !== 3) this.requests.push(frame);
			if (frame[0] === this.ignored) return;
			if (frame[0] === 3) void this.#produce(session, frame, data.length);
			else this.#handle(session, frame);
		});
	}

	#send({ socket }: Session, frame: unknown[]): void {
		if (socket.readyState === socket.OPEN) socket.send(packr.pack(frame));
	}

	#error(session: Session, id: unknown, code: number): void {
		this.#send(session, [130, id, code, "refused: by the script", { retriable: false }]);
	}

	#handle(session: Session, frame: unknown[]): void {
		const [operation, id] = frame as [number, number];
		switch (operation) {
			case 1:
				this.#hello(session, id, frame[2] as Record<string, unknown>);
				return;
			case 2:
				this.#open(session, id, frame[2] as string);
				return;
			case 4:
				this.#subscribe(session, frame);
				return;
			case 5: {
				const subscription = session.subscriptions.get(id);
				if (subscription === undefined) return;
				subscription.credit[0] += frame[2] as number;
				subscription.credit[1] += frame[3] as number;
				if (subscription.credit[1] > this.limits.credit_bytes_max) this.overCredit++;
				this.#deliver(session, id, subscription);
				return;
			}
			case 6:
				session.subscriptions.delete(frame[2] as number);
				this.#send(session, [128, id, {}]);
				return;
			case 7:
				void this.#call(session, id, frame[2] as string, frame[3] as Record<string, unknown>);
				return;
			case 8:
				if (this.authCode === 0) this.#send(session, [128, id, {}]);
				else {
					const details = { retriable: true, retry_after_ms: 1_000 };
					this.#send(session, [130, id, this.authCode, "refused: by the script", details]);
				}
				return;
			default:
				this.#send(session, [128, id, { time_ms: Date.now() }]);
		}
	}

	#hello(session: Session, id: number, options: Record<string, unknown>): void {
		this.hellos.push(options);
		if (this.helloCode !== 0) {
			this.#error(session, id, this.helloCode);
			session.socket.close(this.helloCode === 89 ? 4429 : 4401);
			return;
		}
		const asked = options.producer as { id: number; epoch: number } | undefined;
		session.producer = asked ?? { id: this.#nextProducer++, epoch: 0 };
		this.#send(session, [
			128,
			id,
			{
				broker: "millrace/test",
				cluster_id: "cluster",
				features: this.features,
				producer: session.producer,
				limits: this.limits,
				later: "unknown keys are ignored",
			},
		]);
	}

	#open(session: Session, id: number, name: string): void {
		const topic = this.topics.get(name);
		if (topic === undefined) this.#error(session, id, 3);
		else this.#send(session, [128, id, { alias: 1, ...describe(name, topic) }]);
	}

	async #call(
		session: Session,
		id: number,
		name: string,
		takes: Record<string, unknown>,
	): Promise<void> {
		if (this.callsHeld !== undefined) await this.callsHeld;
		const topic = this.topics.get(String(takes.name));
		if (name === "topics.create") {
			const created = this.create(String(takes.name), Number(takes.partitions ?? 1));
			const answer = { created: true, topic: describe(String(takes.name), created) };
			this.#send(session, [128, id, answer]);
		} else if (name === "topics.describe" && topic !== undefined) {
			this.#send(session, [128, id, { topic: describe(String(takes.name), topic) }]);
		} else if (name === "topics.list") {
			const names = [...this.topics.keys()]
				.sort()
				.filter((each) => each > String(takes.after ?? ""));
			const topics = names
				.slice(0, 2)
				.map((each) => describe(each, this.topics.get(each) as Topic));
			this.#send(session, [128, id, { topics, more: names.length > 2 }]);
		} else {
			const called = await this.onCall(name, takes);
			if (typeof called === "object") this.#send(session, [128, id, called]);
			else this.#error(session, id, called ?? (topic === undefined ? 3 : 1001));
		}
	}

	async #produce(session: Session, frame: unknown[], bytes: number): Promise<void> {
		const [, id, , rawEntries] = frame as [number, number, number | null, unknown[][]];
		const entries = rawEntries.map(entryOf);
		const { producer } = session;
		this.frames.push({ entries, bytes, producerId: producer.id });
		this.#unanswered++;
		this.unansweredMax = Math.max(this.unansweredMax, this.#unanswered);
		const action = await this.onProduce(entries, this.frames.length - 1);
		this.#unanswered--;
		if (action === "ignore") return;
		if (action === "lose") {
			session.socket.terminate();
			return;
		}
		if (typeof action === "object") {
			if (action.isStored) for (const entry of entries) this.#store(entry, producer);
			this.#error(session, id, action.refused);
			this.#deliverAll();
			return;
		}
		const results = entries.map((entry) =>
			typeof action === "number" ? [action, entry.partition, -1, -1] : this.#store(entry, producer),
		);
		if (action === "store_and_lose") session.socket.terminate();
		else this.#send(session, [129, id, this.ackReached, results]);
		this.#deliverAll();
	}

	/** The rules of native/core/src/producer. */
	#store(entry: ProduceEntry, producer: { id: number; epoch: number }): number[] {
		const { partition: number, baseSequence: base, records } = entry;
		const partition = this.topics.get(entry.topic)?.partitions[number];
		if (partition === undefined) return [3, number, -1, -1];
		const known = partition.producers.get(`${producer.id}`);
		const last = known?.at(-1);
		if (base >= 0 && known !== undefined && last !== undefined && base !== last.base + last.count) {
			const repeated = known.find((each) => each.base === base && each.count === records.length);
			return repeated === undefined ? [45, number, -1, -1] : [0, number, repeated.offset, 1];
		}
		const offset = partition.records.length;
		partition.records.push(...records);
		const written = [...(known ?? []), { base, count: records.length, offset }];
		partition.producers.set(`${producer.id}`, written.slice(-5));
		return [0, number, offset, 1_700_000_000_000];
	}

	#subscribe(session: Session, frame: unknown[]): void {
		const [, id, sub, name, number, start, options] = frame as [
			number,
			number,
			number,
			string,
			number,
			unknown,
			{ credit?: [number, number]; on_out_of_range?: string },
		];
		const partition = this.topics.get(name)?.partitions[number];
		if (partition === undefined) {
			this.#error(session, id, 3);
			return;
		}
		const end = partition.records.length;
		let next = start === "earliest" ? partition.logStart : start === "latest" ? end : Number(start);
		if (typeof start === "object") {
			const { timestamp_ms: time } = start as { timestamp_ms: number };
			next = partition.records.findIndex(({ timestamp }) => timestamp >= time);
			if (next < 0) next = end;
		}
		if (next < partition.logStart || next > end) {
			const policy = options.on_out_of_range ?? "error";
			if (policy === "error") {
				this.#error(session, id, 1);
				return;
			}
			next = policy === "earliest" ? partition.logStart : end;
		}
		const credit = [...(options.credit ?? [0, 0])] as [number, number];
		const subscription = { topic: name, partition: number, next, credit, caughtUp: false };
		session.subscriptions.set(sub, subscription);
		const answer = { offset: next, log_start: partition.logStart, high_watermark: end };
		this.#send(session, [128, id, answer]);
		this.#deliver(session, sub, subscription);
	}

	#deliverAll(): void {
		for (const session of this.sessions) {
			for (const [sub, subscription] of session.subscriptions) {
				this.#deliver(session, sub, subscription);
			}
		}
	}

	#deliver(session: Session, sub: number, subscription: Subscription): void {
		const { records, damaged } = this.partition(subscription.topic, subscription.partition);
		const end = records.length;
		while (subscription.next < end && subscription.credit[0] > 0 && subscription.credit[1] > 0) {
			const base = subscription.next;
			if (damaged !== undefined && base >= damaged[0] && base < damaged[1]) {
				this.#send(session, [134, sub, base, damaged[1], 1008]);
				subscription.next = damaged[1];
				continue;
			}
			const most = Math.min(
				100,
				subscription.credit[0],
				(damaged?.[0] ?? end) > base ? (damaged?.[0] ?? end) - base : end - base,
			);
			const body: unknown[] = [];
			let bytes = 3;
			for (const [index, record] of records.slice(base, base + most).entries()) {
				if (body.length > 0 && bytes >= subscription.credit[1]) break;
				const fields: unknown[] = [index, record.timestamp, record.key, record.value];
				if (record.headers.length > 0) fields.push(record.headers);
				body.push(fields);
				bytes += packr.pack(fields).length;
			}
			const packed = packr.pack(body).length;
			subscription.credit[0] -= body.length;
			subscription.credit[1] -= packed;
			subscription.next += body.length;
			this.#send(session, [131, sub, base, end, body]);
			subscription.caughtUp = false;
		}
		if (subscription.next >= end && !subscription.caughtUp) {
			subscription.caughtUp = true;
			this.#send(session, [133, sub, end]);
		}
	}
}

function describe(name: string, topic: Topic): Record<string, unknown> {
	return {
		name,
		topic_id: topic.id,
		partitions: topic.partitions.length,
		internal: false,
		max_message_bytes: 1_048_588,
		durability: "written",
		configs: [],
	};
}

function entryOf(raw: unknown[]): ProduceEntry {
	const [topic, partition, baseSequence, format, body] = raw as [
		string,
		number,
		number,
		number,
		[unknown, unknown?, (number | null)?, [string, Uint8Array | null][]?][],
	];
	const records = body.map(([value, key, timestamp, headers]) => ({
		value: value === null ? null : format === 1 ? packr.pack(value) : bytesOf(value),
		key: key === null || key === undefined ? null : bytesOf(key),
		timestamp: timestamp ?? 1_700_000_000_000,
		headers: headers ?? [],
	}));
	return { topic, partition, baseSequence, format, records };
}

function bytesOf(value: unknown): Uint8Array {
	return typeof value === "string" ? Buffer.from(value) : Buffer.from(value as Uint8Array);
}
