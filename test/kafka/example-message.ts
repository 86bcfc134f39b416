/**
 * One message of every definition and version, the same on every machine, with a value other than
 * the default in each field: what Kafka makes of it is in test/fixtures/kafka/.
 */
import { type Field, type Message, PRIMITIVES } from "../../src/kafka/definitions/parse.mjs";
import { type Fields, messageOf, structOf, type Value, within } from "./client-codec.ts";

/** Elements of an array that is not within another. */
const ELEMENTS = 2;

/** A message with a value for each field that the version has. */
export function exampleMessage(name: string, version: number): Fields {
	return new ExampleMaker(messageOf(name), version).make();
}

class ExampleMaker {
	private readonly message: Message;
	private readonly version: number;
	private count = 0;

	constructor(message: Message, version: number) {
		this.message = message;
		this.version = version;
	}

	make(): Fields {
		return this.struct(this.message.fields, ELEMENTS);
	}

	private struct(fields: readonly Field[], elements: number): Fields {
		const present = fields.filter((field) => within(this.version, field.versions));
		return Object.fromEntries(present.map((field) => [field.name, this.field(field, elements)]));
	}

	private field(field: Field, elements: number): Value {
		if (!field.array) return this.value(field, elements);
		return Array.from({ length: elements }, () => this.value(field, 1));
	}

	private value(field: Field, elements: number): Value {
		if (!PRIMITIVES.has(field.type)) return this.struct(structOf(this.message, field), elements);
		this.count++;
		const byte = 1 + (this.count % 100);
		if (field.type === "bool") return field.default !== true;
		if (field.type === "int8") return byte;
		if (field.type === "int16" || field.type === "uint16") return 0x100 * byte + 0x7f;
		if (field.type === "int32") return 0x1000000 * byte + 0xfe;
		if (field.type === "int64") return 0x100000000 * byte + 0xfedcba98;
		if (field.type === "float64") return byte + 0.5;
		if (field.type === "string") return `${field.name} é${this.count}`;
		const bytes = Buffer.from(`bytes of ${field.name} ${this.count}`);
		if (field.type !== "uuid") return bytes;
		const hex = Buffer.concat([bytes, Buffer.alloc(16)]).toString("hex");
		return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
	}
}
