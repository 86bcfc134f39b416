/**
 * Kafka's messages in both directions for tests that play the client, or Kafka itself. It
 * interprets the definitions, value by value and without regard to speed, and shares nothing else
 * with the generated codec that it is held against.
 *
 * Fields are given and answered under their names in the definitions. What is left out when
 * encoding has Kafka's default, what the version does not have is not written, and a name that the
 * definition does not know is an error. Decoding answers the fields that the version has, with
 * defaults for tagged ones that are not there. int64 is a number where that is exact, else a
 * bigint.
 */
import {
	type Definition,
	type Field,
	type Message,
	PRIMITIVES,
	readDefinitions,
	type Versions,
} from "../../src/kafka/definitions/parse.mjs";

export type Value =
	| null
	| boolean
	| number
	| bigint
	| string
	| Uint8Array
	| readonly Value[]
	| Fields;
export interface Fields {
	readonly [name: string]: Value;
}

export const definitions: readonly Definition[] = readDefinitions();

const messages = new Map(
	definitions
		.flatMap((definition) => definition.messages)
		.map((message) => [message.name, message]),
);

/** A message by its name, such as FetchRequest or OffsetCommitValue. */
export function messageOf(name: string): Message {
	const message = messages.get(name);
	if (message === undefined) throw new Error(`no definition of ${name}`);
	return message;
}

export const isFlexible = ({ flexibleFrom }: Message, version: number): boolean =>
	flexibleFrom !== null && version >= flexibleFrom;

export const within = (version: number, versions: Versions | null): boolean =>
	versions !== null && version >= versions[0] && version <= versions[1];

const NIL_UUID = "00000000-0000-0000-0000-000000000000";

/** Kafka's default of a field. */
export function defaultOf(message: Message, field: Field): Value {
	if (field.default !== undefined) {
		// The definition's number was rounded on the way.
		return field.default === 2 ** 63 ? 2n ** 63n - 1n : field.default;
	}
	if (field.array) return [];
	if (field.type === "bool") return false;
	if (field.type === "string") return "";
	if (field.type === "uuid") return NIL_UUID;
	if (field.type === "bytes") return Buffer.alloc(0);
	if (field.type === "records") return null;
	if (PRIMITIVES.has(field.type)) return 0;
	return Object.fromEntries(
		structOf(message, field).map((inner) => [inner.name, defaultOf(message, inner)]),
	);
}

export function structOf(message: Message, field: Field): readonly Field[] {
	const fields = message.structs.get(field.type);
	if (fields === undefined) throw new Error(`no struct ${field.type} in ${message.name}`);
	return fields;
}

// Encoding

/** The body of a message. */
export function encodeMessage(name: string, version: number, fields: Fields): Buffer {
	const message = messageOf(name);
	if (!within(version, [message.oldest, message.latest])) {
		throw new Error(`${name} has no version ${version}`);
	}
	return Buffer.concat(new Encoder(message, version).struct(message.fields, fields));
}

export function unsignedVarint(value: number): Buffer {
	const bytes: number[] = [];
	let rest = value;
	for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
	return Buffer.from([...bytes, rest]);
}

class Encoder {
	private readonly message: Message;
	private readonly version: number;
	private readonly flexible: boolean;

	constructor(message: Message, version: number) {
		this.message = message;
		this.version = version;
		this.flexible = isFlexible(message, version);
	}

	struct(definition: readonly Field[], fields: Fields): Buffer[] {
		for (const name of Object.keys(fields)) {
			if (!definition.some((field) => field.name === name)) {
				throw new Error(`${this.message.name} has no field ${name}`);
			}
		}
		const present = definition.filter((field) => within(this.version, field.versions));
		const given = (field: Field): Value =>
			fields[field.name] === undefined
				? defaultOf(this.message, field)
				: (fields[field.name] as Value);
		const parts = present
			.filter((field) => field.tag === null)
			.flatMap((field) => this.field(field, given(field)));
		if (!this.flexible) return parts;
		const tagged = present
			.filter((field) => field.tag !== null && !this.isDefault(field, given(field)))
			.sort((left, right) => (left.tag as number) - (right.tag as number));
		parts.push(unsignedVarint(tagged.length));
		for (const field of tagged) {
			const bytes = Buffer.concat(this.field(field, given(field)));
			parts.push(unsignedVarint(field.tag as number), unsignedVarint(bytes.length), bytes);
		}
		return parts;
	}

	private isDefault(field: Field, value: Value): boolean {
		const encode = (other: Value) => Buffer.concat(this.field(field, other));
		return encode(value).equals(encode(defaultOf(this.message, field)));
	}

	private field(field: Field, value: Value): Buffer[] {
		if (value === null && !within(this.version, field.nullable)) {
			throw new Error(`${this.message.name}.${field.name} cannot be null`);
		}
		if (!field.array) return this.value(field, value);
		if (value === null) return [this.length(-1)];
		const elements = value as readonly Value[];
		const parts = elements.flatMap((element) => this.value({ ...field, nullable: null }, element));
		return [this.length(elements.length), ...parts];
	}

	private value(field: Field, value: Value): Buffer[] {
		const { type } = field;
		if (!PRIMITIVES.has(type)) {
			const fields = structOf(this.message, field);
			const nothing = field.tag === null ? 0xff : 0;
			const marker = field.nullable === null ? [] : [Buffer.from([value === null ? nothing : 1])];
			return value === null ? marker : [...marker, ...this.struct(fields, value as Fields)];
		}
		if (type === "string") {
			const bytes = value === null ? null : Buffer.from(value as string);
			const length = bytes?.length ?? -1;
			return [
				this.flexible ? this.length(length) : number("int16", length),
				bytes ?? Buffer.alloc(0),
			];
		}
		if (type === "bytes" || type === "records") {
			const bytes = value === null ? null : Buffer.from(value as Uint8Array);
			return [this.length(bytes?.length ?? -1), bytes ?? Buffer.alloc(0)];
		}
		if (type === "uuid") return [Buffer.from((value as string).replaceAll("-", ""), "hex")];
		if (type === "bool") return [Buffer.from([value ? 1 : 0])];
		return [number(type, value as number | bigint)];
	}

	private length(count: number): Buffer {
		return this.flexible ? unsignedVarint(count + 1) : number("int32", count);
	}
}

function number(type: string, value: number | bigint): Buffer {
	const bytes = Buffer.alloc(8);
	if (type === "float64") bytes.writeDoubleBE(Number(value));
	else if (type === "int64") bytes.writeBigInt64BE(BigInt(value));
	else if (type === "int32") return bytes.subarray(0, bytes.writeInt32BE(Number(value)));
	else if (type === "int16") return bytes.subarray(0, bytes.writeInt16BE(Number(value)));
	else if (type === "uint16") return bytes.subarray(0, bytes.writeUInt16BE(Number(value)));
	else if (type === "int8") return bytes.subarray(0, bytes.writeInt8(Number(value)));
	else throw new Error(`no such type: ${type}`);
	return bytes;
}

// Decoding

/** The fields of a message; the body must be all of the bytes. */
export function decodeMessage(name: string, version: number, bytes: Uint8Array): Fields {
	const message = messageOf(name);
	const decoder = new Decoder(message, version, Buffer.from(bytes));
	const fields = decoder.struct(message.fields);
	if (decoder.left > 0) throw new Error(`${decoder.left} bytes behind ${name} ${version}`);
	return fields;
}

export class Decoder {
	private readonly message: Message;
	private readonly version: number;
	private readonly flexible: boolean;
	private readonly bytes: Buffer;
	private position = 0;

	constructor(message: Message, version: number, bytes: Buffer) {
		this.message = message;
		this.version = version;
		this.flexible = isFlexible(message, version);
		this.bytes = bytes;
	}

	get left(): number {
		return this.bytes.length - this.position;
	}

	struct(definition: readonly Field[]): Fields {
		const fields: Record<string, Value> = {};
		const present = definition.filter((field) => within(this.version, field.versions));
		for (const field of present) {
			fields[field.name] = field.tag === null ? this.field(field) : defaultOf(this.message, field);
		}
		if (!this.flexible) return fields;
		for (let left = this.unsignedVarint(); left > 0; left--) {
			const tag = this.unsignedVarint();
			const end = this.unsignedVarint() + this.position;
			const field = present.find((candidate) => candidate.tag === tag);
			if (field === undefined) throw new Error(`unknown tag ${tag} in ${this.message.name}`);
			fields[field.name] = this.field(field);
			if (this.position !== end) throw new Error(`tag ${tag} has another length`);
		}
		return fields;
	}

	private field(field: Field): Value {
		if (!field.array) return this.value(field);
		const count = this.length();
		if (count < 0) return this.nothing(field);
		return Array.from({ length: count }, () => this.value({ ...field, nullable: null }));
	}

	private value(field: Field): Value {
		const { type } = field;
		if (!PRIMITIVES.has(type)) {
			const nothing = field.tag === null ? -1 : 0;
			if (field.nullable !== null && this.take(1).readInt8() === nothing) return null;
			return this.struct(structOf(this.message, field));
		}
		if (type === "string") {
			const length = this.flexible ? this.length() : this.take(2).readInt16BE();
			return length < 0 ? this.nothing(field) : this.take(length).toString();
		}
		if (type === "bytes" || type === "records") {
			const length = this.length();
			return length < 0 ? this.nothing(field) : this.take(length);
		}
		if (type === "uuid") {
			const hex = this.take(16).toString("hex");
			return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
		}
		return this.number(type);
	}

	private number(type: string): Value {
		if (type === "bool") return this.take(1).readInt8() !== 0;
		if (type === "int8") return this.take(1).readInt8();
		if (type === "int16") return this.take(2).readInt16BE();
		if (type === "uint16") return this.take(2).readUInt16BE();
		if (type === "int32") return this.take(4).readInt32BE();
		if (type === "float64") return this.take(8).readDoubleBE();
		const value = this.take(8).readBigInt64BE();
		return Number.isSafeInteger(Number(value)) ? Number(value) : value;
	}

	private nothing(field: Field): null {
		if (!within(this.version, field.nullable)) throw new Error(`${field.name} is null`);
		return null;
	}

	private length(): number {
		return this.flexible ? this.unsignedVarint() - 1 : this.take(4).readInt32BE();
	}

	unsignedVarint(): number {
		let value = 0;
		for (let factor = 1; ; factor *= 128) {
			const byte = this.take(1).readUInt8();
			value += (byte % 128) * factor;
			if (byte < 128) return value;
		}
	}

	private take(bytes: number): Buffer {
		if (bytes > this.left) throw new Error(`${bytes} bytes where ${this.left} are left`);
		this.position += bytes;
		return this.bytes.subarray(this.position - bytes, this.position);
	}
}

// Frames

/** What a request's header says besides API and version. */
export interface RequestOptions {
	readonly correlationId?: number;
	readonly clientId?: string | null;
}

function apiOf(name: string): Definition & { number: number } {
	const api = definitions.find(
		(definition) => definition.kind === "api" && definition.name === name,
	);
	if (api?.number === undefined) throw new Error(`no API ${name}`);
	return { ...api, number: api.number };
}

/** The header of a request, also for versions that the API does not have. */
export function encodeRequestHeader(
	name: string,
	version: number,
	{ correlationId = 0, clientId = "test" }: RequestOptions = {},
): Buffer {
	const id = clientId === null ? null : Buffer.from(clientId);
	return Buffer.concat([
		number("int16", apiOf(name).number),
		number("int16", version),
		number("int32", correlationId),
		number("int16", id?.length ?? -1),
		id ?? Buffer.alloc(0),
		Buffer.alloc(isFlexible(messageOf(`${name}Request`), version) ? 1 : 0),
	]);
}

/** A request with its header, without the length before it. */
export function encodeRequest(
	name: string,
	version: number,
	fields: Fields,
	options: RequestOptions = {},
): Buffer {
	return Buffer.concat([
		encodeRequestHeader(name, version, options),
		encodeMessage(`${name}Request`, version, fields),
	]);
}

/** A response with its header, without the length before it. */
export function decodeResponse(
	name: string,
	version: number,
	bytes: Uint8Array,
): { correlationId: number; fields: Fields } {
	const frame = Buffer.from(bytes);
	// The header of ApiVersions has no tagged fields, since its client does not know versions yet.
	const flexible = name !== "ApiVersions" && isFlexible(messageOf(`${name}Response`), version);
	if (flexible && frame[4] !== 0) throw new Error("tagged fields in the response's header");
	return {
		correlationId: frame.readInt32BE(),
		fields: decodeMessage(`${name}Response`, version, frame.subarray(flexible ? 5 : 4)),
	};
}
