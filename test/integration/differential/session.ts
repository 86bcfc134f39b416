/**
 * One side of a comparison: a broker that is asked raw requests, and what it answered, in a form
 * in which two brokers' answers can be equal. What must differ is masked: ids, times, addresses and
 * the texts of errors. Arrays are sorted, as Kafka promises no order in them.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { encodeRequestHeader, type Fields, type Value } from "../../kafka/client-codec.ts";
import { pick } from "../../kafka/pick.ts";
import { RawKafkaClient } from "../../kafka/raw-client.ts";

/** A topic as requests name it: each takes of the two what its version has. */
export interface TopicNames {
	readonly name: string;
	readonly topicId: string;
}

/** How a broker's answer compares: masked fields, or that it ended the connection. */
export type Outcome = Fields | "closed" | "no answer";

export interface Answer {
	/** What was asked for, to be found again in a report. */
	readonly label: string;
	readonly outcome: Outcome;
}

/** Makes a topic before its broker is asked about it. */
export type CreateTopic = (
	name: string,
	partitions: number,
	configs: Readonly<Record<string, string>>,
) => Promise<void>;

const NIL_UUID = "00000000-0000-0000-0000-000000000000";
const READY_MS_MAX = 180_000;
/** Both brokers answer or close: who does neither hangs. */
const ANSWER_MS_MAX = 60_000;

export class Session {
	readonly answers: Answer[] = [];
	readonly #bootstrap: string;
	readonly #port: number;
	readonly #createTopic: CreateTopic;
	#client: RawKafkaClient | undefined;
	#label = "";
	/** Ids that this broker gave out, in the order in which they were seen. */
	readonly #memberIds: string[] = [];

	constructor(bootstrap: string, createTopic: CreateTopic) {
		this.#bootstrap = bootstrap;
		this.#port = Number(bootstrap.slice(bootstrap.lastIndexOf(":") + 1));
		this.#createTopic = createTopic;
	}

	/** Another one of the same broker, with a connection and answers of its own. */
	another(): Session {
		return new Session(this.#bootstrap, this.#createTopic);
	}

	/** Forgets what was answered before; `label` goes before every answer from now on. */
	start(label: string): void {
		this.answers.length = 0;
		this.#memberIds.length = 0;
		this.#label = label;
	}

	/** Sends a request and notes the answer. Resolves to it as it came; to null for none. */
	async ask(name: string, version: number, fields: Fields, label = ""): Promise<Fields | null> {
		const client = await this.#connect();
		let answer: Fields | null = null;
		let outcome: Outcome;
		try {
			answer = await inTime(client.request(name, version, fields));
			outcome = answer === null ? "no answer" : (this.#mask(answer) as Fields);
		} catch (error) {
			if (!isEnd(error)) throw error;
			outcome = "closed";
		}
		if (answer === null) await this.close();
		this.note(`${name} ${label}`, outcome);
		return answer;
	}

	/** Sends a request that must have no answer, and notes whether it had none. */
	async tell(name: string, version: number, fields: Fields, label = ""): Promise<void> {
		const client = await this.#connect();
		client.send(name, version, fields);
		let outcome: Outcome = "no answer";
		try {
			// What is asked behind it is answered first.
			await client.request("ApiVersions", 0);
		} catch (error) {
			if (!isEnd(error)) throw error;
			outcome = "closed";
			this.#client = undefined;
		}
		this.note(`${name} ${label}`, outcome);
	}

	/** Sends a header of any version with some bytes behind it, and notes what becomes of it. */
	async askBytes(name: string, version: number, body: Uint8Array, label: string): Promise<void> {
		const client = await this.#connect();
		client.sendFrame(Buffer.concat([encodeRequestHeader(name, version), body]));
		let outcome: Outcome;
		try {
			const frame = await inTime(client.frame());
			outcome = frame === null ? "no answer" : { bytes: frame.subarray(4).toString("hex") };
		} catch (error) {
			if (!isEnd(error)) throw error;
			outcome = "closed";
		}
		await this.close();
		this.note(`${name} ${label}`, outcome);
	}

	/** A request whose answer is not compared. @throws when the connection ends */
	async prepare(name: string, version: number, fields: Fields): Promise<Fields> {
		return (await this.#connect()).request(name, version, fields);
	}

	/** Asks again until there is no error at the top of the answer. */
	async untilDone(ask: () => Promise<Fields>): Promise<Fields> {
		for (const deadlineMs = Date.now() + READY_MS_MAX; ; await sleep(20)) {
			const answer = await ask();
			if (answer.errorCode === 0) return answer;
			if (Date.now() > deadlineMs) throw new Error(`still error ${answer.errorCode}`);
		}
	}

	/** Makes a topic that is ready when this resolves. */
	async topic(
		name: string,
		partitions = 1,
		configs: Readonly<Record<string, string>> = {},
	): Promise<TopicNames> {
		await this.#createTopic(name, partitions, configs);
		const indexes = Array.from({ length: partitions }, (_, index) => index);
		for (const deadlineMs = Date.now() + READY_MS_MAX; ; await sleep(10)) {
			const topics = [
				{ name, partitions: indexes.map((index) => ({ partitionIndex: index, timestamp: -1 })) },
			];
			const listed = await this.prepare("ListOffsets", 4, { replicaId: -1, topics });
			const answers = pick(listed, "topics", 0, "partitions") as unknown as Fields[];
			if (answers.every(({ errorCode }) => errorCode === 0)) break;
			if (Date.now() > deadlineMs) throw new Error(`${name} is not ready: ${answers}`);
		}
		const described = await this.prepare("Metadata", 12, { topics: [{ name }] });
		return { name, topicId: pick(described, "topics", 0).topicId as string };
	}

	/** Makes a topic of two partitions; its coordinator serves groups when this resolves. */
	async topicForGroups(name: string): Promise<TopicNames> {
		const asked = { key: "group", keyType: 0 };
		await this.untilDone(() => this.prepare("FindCoordinator", 2, asked));
		const all = { groupId: "group", topics: null };
		await this.untilDone(() => this.prepare("OffsetFetch", 5, all));
		return this.topic(name, 2);
	}

	/** Appends batches to a partition, one request each. @throws what the broker refuses */
	async append(topic: TopicNames, batches: readonly Uint8Array[], index = 0): Promise<void> {
		for (const records of batches) {
			const topicData = [{ name: topic.name, partitionData: [{ index, records }] }];
			const asked = { transactionalId: null, acks: -1, timeoutMs: 120_000, topicData };
			const answer = await this.prepare("Produce", 9, asked);
			const { errorCode } = pick(answer, "responses", 0, "partitionResponses", 0);
			if (errorCode !== 0) throw new Error(`${topic.name} took no batch: error ${errorCode}`);
		}
	}

	/** Leaves the connection; the next request opens another. */
	async close(): Promise<void> {
		await this.#client?.close();
		this.#client = undefined;
	}

	async #connect(): Promise<RawKafkaClient> {
		this.#client ??= await RawKafkaClient.connect(this.#port);
		return this.#client;
	}

	/** Notes what a scenario made of an answer. */
	note(label: string, outcome: Outcome): void {
		this.answers.push({ label: `${this.#label}: ${label.trim()}`, outcome });
	}

	/** An answer, or a part of one, in the form in which it compares. */
	mask(fields: Fields): Fields {
		return this.#mask(fields) as Fields;
	}

	#mask(value: Value, name = ""): Value {
		if (value instanceof Uint8Array) {
			return name === "records" ? withoutEpochs(value) : Buffer.from(value).toString("hex");
		}
		if (Array.isArray(value)) {
			if (BROKER_LISTS.has(name)) return value.length;
			const elements = value.map((element: Value) => this.#mask(element, name));
			return elements.sort((left, right) =>
				JSON.stringify(left) < JSON.stringify(right) ? -1 : 1,
			);
		}
		if (typeof value === "object" && value !== null) {
			const entries = Object.entries(value as Fields);
			return Object.fromEntries(entries.map(([key, inner]) => [key, this.#mask(inner, key)]));
		}
		return this.#maskScalar(value as null | boolean | number | bigint | string, name);
	}

	#maskScalar(value: null | boolean | number | bigint | string, name: string): Value {
		if (value === null) return null;
		if (MEMBER_IDS.has(name) && value !== "") {
			// Ids that the request made up are their own.
			if (!MADE_ID.test(String(value))) return value;
			if (!this.#memberIds.includes(String(value))) this.#memberIds.push(String(value));
			return `member ${this.#memberIds.indexOf(String(value))}`;
		}
		if (name === "topicId") return value === NIL_UUID ? "none" : "some";
		if (TEXTS.has(name)) return value === "" ? "" : "some";
		if (NUMBERS.has(name)) return Number(value) < 0 ? Number(value) : "some";
		if (name === "sessionId") return value === 0 ? 0 : "some";
		return typeof value === "bigint" ? `${value}` : value;
	}
}

/** What a promise resolves to; null where that takes too long. */
async function inTime<Answered>(answer: Promise<Answered>): Promise<Answered | null> {
	const late = new AbortController();
	const timer = sleep(ANSWER_MS_MAX, null, { signal: late.signal }).catch(() => null);
	try {
		return await Promise.race([answer, timer]);
	} finally {
		late.abort();
		// When it fails later, because its connection was left, nobody waits for it.
		answer.catch(() => undefined);
	}
}

const isEnd = (error: unknown): boolean =>
	error instanceof Error && /connection ended|ECONNRESET|EPIPE/.test(error.message);

/** A member id that a broker made: it ends with a UUID, or is one in base64. */
const MADE_ID = /-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|^[\w-]{22}$/;

const MEMBER_IDS = new Set(["memberId", "leader"]);
/** Lists of brokers, of which there is one. */
const BROKER_LISTS = new Set(["replicaNodes", "isrNodes", "nodeEndpoints"]);
/** Texts that are each broker's own. */
const TEXTS = new Set([
	"host",
	"clusterId",
	"errorMessage",
	"batchIndexErrorMessage",
	"logDir",
	"clientHost",
	"documentation",
	"assignmentError",
]);
/** Numbers that are each broker's own, where they are not negative. */
const NUMBERS = new Set([
	"nodeId",
	"leaderId",
	"controllerId",
	"brokerId",
	"port",
	"leaderEpoch",
	"producerId",
	"logAppendTimeMs",
	"finalizedFeaturesEpoch",
	"totalBytes",
	"usableBytes",
	"partitionSize",
	"lastTimestamp",
	"logEndOffset",
	"lastFetchTimestamp",
	"lastCaughtUpTimestamp",
]);

const EPOCH_START = 12;
const EPOCH_END = 16;
const LENGTH_AT = 8;
const LENGTH_COUNTED_FROM = 12;

/** Batches as text, without the leader epochs in them: no checksum covers those. */
function withoutEpochs(records: Uint8Array): string {
	const bytes = Buffer.from(records);
	for (let at = 0; at + EPOCH_END <= bytes.length; ) {
		bytes.fill(0, at + EPOCH_START, at + EPOCH_END);
		at += LENGTH_COUNTED_FROM + bytes.readInt32BE(at + LENGTH_AT);
	}
	return bytes.toString("hex");
}
