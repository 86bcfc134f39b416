/**
 * Well-formed requests of any API and version with random content, drawn from what a broker has
 * said before: names and ids that exist, so that handlers get further than their first check, and
 * numbers at which things go wrong. The same seed and the same answers make the same requests.
 */
import { type Field, type Message, PRIMITIVES } from "../../src/kafka/definitions/parse.mjs";
import { recordBatch } from "../record-batch.ts";
import {
	encodeMessage,
	type Fields,
	messageOf,
	structOf,
	type Value,
	within,
} from "./client-codec.ts";
import { type Below, damaged, oneOf } from "./damage.ts";

/** Values of a kind that are remembered; others take their places then. */
const REMEMBERED_MAX = 64;
/** Waits are this long at most, in milliseconds: an answer that waits is not to be waited for. */
const WAIT_MS_MAX = 40;
/** The longest string that there is. */
const STRING_BYTES_MAX = 32_767;

const INT_EDGES: Readonly<Record<string, readonly number[]>> = {
	int8: [-128, -2, -1, 0, 1, 2, 3, 127],
	int16: [-32_768, -2, -1, 0, 1, 2, 1_000, 32_767],
	uint16: [0, 1, 9_092, 32_768, 65_535],
	int32: [-2_147_483_648, -2, -1, 0, 1, 2, 10, 100_000, 2_147_483_647],
};

const INT64_EDGES: readonly (number | bigint)[] = [
	-(2n ** 63n),
	-6,
	-2,
	-1,
	0,
	1,
	5,
	Number.MAX_SAFE_INTEGER,
	2n ** 63n - 1n,
];

/** What the names of fields that are times to wait for end in. */
const IS_WAIT = /(wait|timeout|session|rebalance).*ms$/i;

/** Topics that whoever asks should keep there, since requests also delete them. */
export const RANDOM_TOPICS = ["random-a", "random-b", "random-c"] as const;
const GROUPS = ["group-a", "group-b", "group-c"];

/** What most requests have in fields of these names: what comes next is looked at only then. */
const USUAL: Readonly<Record<string, readonly Value[]>> = {
	acks: [-1, -1, -1, 1, 0],
	count: [1, 2, 3, 5],
	currentLeaderEpoch: [-1, 0],
	fetchOffset: [0, 0, 1],
	generationId: [-1, 0, 1, 2],
	generationIdOrMemberEpoch: [-1, 0, 1, 2],
	groupId: GROUPS,
	groupIds: GROUPS,
	groupInstanceId: [null, null, "instance"],
	groups: GROUPS,
	groupsNames: GROUPS,
	index: [0, 0, 1],
	leaderEpoch: [-1, 0],
	maxBytes: [1_000_000],
	memberEpoch: [-1, 0, 1, 2],
	memberId: ["", ""],
	numPartitions: [-1, 1, 2, 3],
	partition: [0, 0, 1],
	partitionIndex: [0, 0, 1],
	partitionIndexes: [0, 1],
	partitionMaxBytes: [1_000_000],
	protocolType: ["consumer"],
	replicaId: [-1],
	replicationFactor: [-1, 1],
	resourceType: [2, 4, 32],
	sessionEpoch: [-1, 0, 1],
	sessionId: [0],
	subscribedTopicNames: RANDOM_TOPICS,
	timestamp: [-1, -2, -3, 1_000],
	topic: RANDOM_TOPICS,
	topicName: RANDOM_TOPICS,
	topicNames: RANDOM_TOPICS,
	transactionalId: [null],
	validateOnly: [false, true],
};

const WORDS: readonly string[] = [
	...RANDOM_TOPICS,
	...RANDOM_TOPICS,
	...GROUPS,
	"consumer",
	"range",
	"uniform",
	"roundrobin",
	"random-.*",
	"[",
	"1",
	"0",
	"retention.ms",
	"cleanup.policy",
	"compact",
	"max.message.bytes",
	"__consumer_offsets",
	"",
	"not a name",
	"é漢字😀",
	"\u0000",
	"../x",
];

export class RandomRequests {
	private readonly below: Below;
	private readonly strings: string[] = [];
	/** By the name of the field that they stood in. */
	private readonly named = new Map<string, Value[]>();

	constructor(below: Below) {
		this.below = below;
	}

	/** The fields of a request. */
	request(name: string, version: number): Fields {
		const message = messageOf(`${name}Request`);
		return this.struct(message, version, message.fields);
	}

	/** Remembers what an answer tells of: later requests ask for it. */
	learn(fields: Fields): void {
		for (const [name, value] of Object.entries(fields)) this.learnValue(name, value);
	}

	private learnValue(name: string, value: Value): void {
		if (Array.isArray(value)) {
			for (const element of value.slice(0, REMEMBERED_MAX)) this.learnValue(name, element as Value);
		} else if (typeof value === "string") {
			if (value.length < STRING_BYTES_MAX / 10) this.remember(this.strings, value);
			this.rememberNamed(name, value);
		} else if (typeof value === "number" || typeof value === "bigint") {
			this.rememberNamed(name, value);
		} else if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
			this.learn(value as Fields);
		}
	}

	private rememberNamed(name: string, value: Value): void {
		const known = this.named.get(name) ?? [];
		this.named.set(name, known);
		this.remember(known, value);
	}

	private remember<Kind>(known: Kind[], value: Kind): void {
		if (known.includes(value)) return;
		if (known.length < REMEMBERED_MAX) known.push(value);
		else known[this.below(REMEMBERED_MAX)] = value;
	}

	private struct(message: Message, version: number, fields: readonly Field[]): Fields {
		const present = fields.filter((field) => within(version, field.versions));
		return Object.fromEntries(
			present.map((field) => [field.name, this.field(message, version, field)]),
		);
	}

	private field(message: Message, version: number, field: Field): Value {
		const isNullable = within(version, field.nullable);
		if (isNullable && this.below(5) === 0) return null;
		const one = () =>
			PRIMITIVES.has(field.type)
				? this.primitive(field, isNullable && !field.array)
				: this.struct(message, version, structOf(message, field));
		if (!field.array) return one();
		return Array.from({ length: oneOf([0, 1, 1, 2, 3], this.below) }, one);
	}

	private primitive({ name, type }: Field, isNullable: boolean): Value {
		const usual = USUAL[name]?.filter((value) => isOfType(value, type, isNullable)) ?? [];
		if (usual.length > 0 && this.below(4) > 0) return oneOf(usual, this.below);
		const known = this.named.get(name);
		const isKnown = known !== undefined && this.below(2) === 0;
		switch (type) {
			case "bool":
				return this.below(2) === 0;
			case "string":
				return isKnown ? (oneOf(known, this.below) as string) : this.string();
			case "uuid":
				return isKnown ? (oneOf(known, this.below) as string) : this.uuid();
			case "bytes":
				return this.bytes();
			case "records":
				return this.records();
			case "float64":
				return this.below(1_000) / 7;
			case "int64":
				if (IS_WAIT.test(name)) return this.below(WAIT_MS_MAX);
				return isKnown ? oneOf(known, this.below) : oneOf(INT64_EDGES, this.below);
			default:
				return this.integer(name, type, isKnown ? known : undefined);
		}
	}

	private integer(name: string, type: string, known: readonly Value[] | undefined): Value {
		if (IS_WAIT.test(name)) return this.below(WAIT_MS_MAX);
		const edges = INT_EDGES[type] as readonly number[];
		const isWithin = (value: Value) =>
			typeof value === "number" &&
			value >= (edges[0] as number) &&
			value <= (edges.at(-1) as number);
		const found = known === undefined ? undefined : oneOf(known, this.below);
		if (found !== undefined && isWithin(found)) return found;
		return this.below(3) === 0 ? oneOf(edges, this.below) : this.below(4);
	}

	private string(): string {
		const kind = this.below(12);
		if (kind < 6) return oneOf(WORDS, this.below);
		if (kind < 10 && this.strings.length > 0) return oneOf(this.strings, this.below);
		if (kind === 10) return `random-${this.below(1_000)}`;
		const long = oneOf(["x", "ö", "漢"], this.below);
		const length = oneOf([70, 249, 250, 5_000, STRING_BYTES_MAX], this.below);
		return long.repeat(Math.floor(length / Buffer.byteLength(long)));
	}

	private uuid(): string {
		const kind = this.below(3);
		const hex = Buffer.from(
			Array.from({ length: 16 }, () => (kind === 0 ? 0 : kind === 1 ? 1 : this.below(256))),
		).toString("hex");
		return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
	}

	/** What clients of a group tell each other through the broker, or anything. */
	private bytes(): Uint8Array {
		const kind = this.below(4);
		if (kind < 2) return Buffer.from(Array.from({ length: this.below(40) }, () => this.below(256)));
		const name = kind === 2 ? "ConsumerProtocolSubscription" : "ConsumerProtocolAssignment";
		const version = this.below(messageOf(name).latest + 1);
		const message = messageOf(name);
		const body = encodeMessage(name, version, this.struct(message, version, message.fields));
		return Buffer.concat([Buffer.from([0, version]), body]);
	}

	private records(): Uint8Array {
		const values = Array.from({ length: 1 + this.below(3) }, (_, index) =>
			Buffer.alloc(this.below(200), index),
		);
		const kind = this.below(6);
		if (kind < 3) return recordBatch(values);
		if (kind === 3) return damaged(Buffer.from(recordBatch(values)), this.below);
		const known = this.named.get("producerId")?.filter((id) => typeof id === "number");
		const id = known === undefined || known.length === 0 ? 7 : (oneOf(known, this.below) as number);
		const producer = { id, epoch: this.below(3) - 1, sequence: this.below(4) - 1 };
		return recordBatch(values, {
			producer,
			attributes: oneOf([0, 1, 4, 7, 8, 16, 32], this.below),
		});
	}
}

/** Whether a value may stand in a field: the same name is not the same type in all messages. */
function isOfType(value: Value, type: string, isNullable: boolean): boolean {
	if (value === null) return isNullable;
	if (typeof value === "boolean") return type === "bool";
	return typeof value === "number" ? /^int(8|16|32|64)$/.test(type) : type === "string";
}
