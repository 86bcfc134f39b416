// The TypeScript of one message: an interface a struct, and what reads and writes it. The text
// comes out unformatted.
import { PRIMITIVES } from "./parse.mjs";

const INTEGERS = new Set(["int8", "int16", "uint16", "int32", "int64"]);

/** The least that a value takes on the wire, in bytes, by whether the version is flexible. */
const PRIMITIVE_BYTES_MIN = {
	bool: [1, 1],
	int8: [1, 1],
	int16: [2, 2],
	uint16: [2, 2],
	int32: [4, 4],
	int64: [8, 8],
	float64: [8, 8],
	uuid: [16, 16],
	string: [2, 1],
	bytes: [4, 1],
	records: [4, 1],
};

/** Names that the generated functions use for themselves. */
const OWN_NAMES = new Set("reader version flexible tag end left".split(" "));
/** The variable that a reader keeps a field in. */
const variable = ({ name }) => (OWN_NAMES.has(name) ? `${name}Value` : name);

const capital = (name) => name[0].toUpperCase() + name.slice(1);
const intersect = (left, right) => [Math.max(left[0], right[0]), Math.min(left[1], right[1])];
const isEmpty = ([first, last]) => first > last;
const covers = (outer, inner) => outer[0] <= inner[0] && outer[1] >= inner[1];

/**
 * The condition under which `version`, known to be within `known`, is within `wanted`: "" for
 * always, null for never.
 */
function condition(wanted, known) {
	const both = intersect(wanted, known);
	if (isEmpty(both)) return null;
	const parts = [];
	if (both[0] > known[0]) parts.push(`version >= ${both[0]}`);
	if (both[1] < known[1]) parts.push(`version <= ${both[1]}`);
	if (parts.length === 2 && both[0] === both[1]) return `version === ${both[0]}`;
	return parts.join(" && ");
}

class MessageGenerator {
	constructor(message, directions) {
		this.message = message;
		this.directions = directions;
		/** The versions in which a struct can occur, by name. */
		this.ranges = new Map();
		this.findRanges(message.fields, [message.oldest, message.latest]);
	}

	findRanges(fields, range) {
		for (const field of fields) {
			if (PRIMITIVES.has(field.type)) continue;
			const own = intersect(field.versions, range);
			const before = this.ranges.get(field.type) ?? own;
			const hull = [Math.min(before[0], own[0]), Math.max(before[1], own[1])];
			this.ranges.set(field.type, hull);
			this.findRanges(this.message.structs.get(field.type), hull);
		}
	}

	generate() {
		const { name, fields, structs, oldest, latest } = this.message;
		const all = [{ name, fields, range: [oldest, latest], exported: true }];
		for (const [struct, structFields] of structs) {
			const range = this.ranges.get(struct);
			all.push({ name: name + struct, fields: structFields, range, exported: false });
		}
		const parts = all.map((struct) => this.interfaceText(struct));
		for (const struct of all.reverse()) {
			if (this.directions.reads) parts.push(this.readerText(struct));
			if (this.directions.writes) parts.push(this.writerText(struct));
		}
		return parts.join("\n\n");
	}

	// Types

	elementType(field) {
		if (INTEGERS.has(field.type) || field.type === "float64") return "number";
		if (field.type === "bool") return "boolean";
		if (field.type === "uuid" || field.type === "string") return "string";
		if (field.type === "bytes" || field.type === "records") return "Uint8Array";
		return this.message.name + field.type;
	}

	valueType(field) {
		const element = this.elementType(field);
		return field.array ? `readonly ${element}[]` : element;
	}

	interfaceText({ name, fields, range }) {
		const lines = fields.map((field) => {
			const optional = this.isOptional(field, range) ? "?" : "";
			const nullable = field.nullable !== null ? " | null" : "";
			// Values that are computed are often undefined: a handler need not take them out.
			const missing = optional ? " | undefined" : "";
			return `readonly ${field.name}${optional}: ${this.valueType(field)}${nullable}${missing};`;
		});
		return [`export interface ${name} {`, ...lines, "}"].join("\n");
	}

	/** A response leaves out what has a default, and what not all versions have. */
	isOptional(field, range) {
		if (this.directions.reads) return false;
		return field.default !== undefined || field.tag !== null || !covers(field.versions, range);
	}

	/** Kafka's default: the one that is given, or else nothing at all. */
	defaultText(field) {
		if (field.default !== undefined) {
			if (typeof field.default !== "number") return JSON.stringify(field.default);
			// 2^63-1 as a number, which rounds it to 2^63.
			return field.default === 2 ** 63 ? "2 ** 63" : String(field.default);
		}
		if (field.array) return "[]";
		if (INTEGERS.has(field.type) || field.type === "float64") return "0";
		if (field.type === "bool") return "false";
		if (field.type === "string") return '""';
		if (field.type === "uuid") return "NIL_UUID";
		if (field.type === "bytes") return "new Uint8Array(0)";
		if (field.type === "records") return "null";
		const fields = this.message.structs.get(field.type);
		return `{ ${fields.map((inner) => `${inner.name}: ${this.defaultText(inner)}`).join(", ")} }`;
	}

	// Flexibility

	/** "true", "false" or "flexible", for versions within a range. */
	flexibleText(range) {
		const { flexibleFrom } = this.message;
		if (flexibleFrom === null || flexibleFrom > range[1]) return "false";
		return flexibleFrom <= range[0] ? "true" : "flexible";
	}

	/** The declaration of `flexible`, when the lines use it. */
	flexibleLines(lines) {
		const uses = lines.some((line) => /\bflexible\b/.test(line));
		return uses ? [`const flexible = version >= ${this.message.flexibleFrom};`] : [];
	}

	/** Which function reads or writes one element of an array. */
	elementFunction(direction, field, flexible) {
		if (!PRIMITIVES.has(field.type)) return `${direction}${this.message.name}${field.type}`;
		if (field.type === "uuid") return direction === "read" ? "readUuid" : "writeUuid";
		if (field.type !== "string") return `${direction}${capital(field.type)}`;
		if (flexible === "true") return `${direction}CompactString`;
		if (flexible === "false") return `${direction}ClassicString`;
		return `flexible ? ${direction}CompactString : ${direction}ClassicString`;
	}

	/** The least that one value of a field takes in any version of a range. */
	bytesMin(field, range) {
		const flexible = this.flexibleText(range);
		const of = (classic, compact) => (flexible === "false" ? classic : compact);
		if (field.array) return of(4, 1);
		return this.elementBytesMin(field, range);
	}

	elementBytesMin(field, range) {
		const index = this.flexibleText(range) === "false" ? 0 : 1;
		if (PRIMITIVES.has(field.type)) return PRIMITIVE_BYTES_MIN[field.type][index];
		let least = Number.POSITIVE_INFINITY;
		for (let version = range[0]; version <= range[1]; version++) {
			const at = [version, version];
			let bytes = this.flexibleText(at) === "true" ? 1 : 0;
			for (const inner of this.message.structs.get(field.type)) {
				if (inner.tag !== null || isEmpty(intersect(inner.versions, at))) continue;
				const optional = inner.nullable !== null && !PRIMITIVES.has(inner.type) && !inner.array;
				bytes += optional ? 1 : this.bytesMin(inner, at);
			}
			least = Math.min(least, bytes);
		}
		return least;
	}

	// Reading

	readerText({ name, fields, range, exported }) {
		const lines = [];
		for (const field of fields) if (field.tag === null) lines.push(this.readLine(field, range));
		lines.push(...this.readTagsLines(fields, range));
		const returned = fields.map((field) =>
			variable(field) === field.name ? field.name : `${field.name}: ${variable(field)}`,
		);
		const usesVersion = lines.some((line) => /\b(version|flexible)\b/.test(line));
		return [
			`${exported ? "export " : ""}function read${name}(`,
			`reader: KafkaReader, ${usesVersion ? "" : "_"}version: number): ${name} {`,
			...this.flexibleLines(lines),
			...lines,
			`return { ${returned.join(", ")} };`,
			"}",
		].join("\n");
	}

	readLine(field, range) {
		const present = condition(field.versions, range);
		const own = intersect(field.versions, range);
		if (present === null) return `const ${variable(field)} = ${this.defaultText(field)};`;
		const value = this.readValue(field, own);
		const type = this.declaredType(field);
		if (present === "") return `const ${variable(field)} = ${value};`;
		return `const ${variable(field)}${type} = ${present} ? ${value} : ${this.defaultText(field)};`;
	}

	declaredType(field) {
		return `: ${this.valueType(field)}${field.nullable !== null ? " | null" : ""}`;
	}

	/** The expression that reads a field in the versions of a range, all of which have it. */
	readValue(field, range) {
		if (field.nullable === null) return this.readNamed(field, range, false);
		const nullable = condition(field.nullable, range);
		if (nullable === "") return this.readNamed(field, range, true);
		if (nullable === null) return this.readNamed(field, range, false);
		const [may, must] = [true, false].map((can) => this.readNamed(field, range, can));
		return `(${nullable} ? ${may} : ${must})`;
	}

	readNamed(field, range, nullable) {
		const flexible = this.flexibleText(range);
		if (field.array) {
			const element = this.elementFunction("read", field, flexible);
			const least = this.elementBytesMin(field, range);
			const method = nullable ? "nullableArray" : "array";
			return `reader.${method}(${element}, version, ${flexible}, ${least})`;
		}
		if (!PRIMITIVES.has(field.type)) {
			const value = `read${this.message.name}${field.type}(reader, version)`;
			if (!nullable) return value;
			return `reader.${field.tag === null ? "present" : "presentTagged"}() ? ${value} : null`;
		}
		if (field.type === "bool") return "reader.boolean()";
		if (field.type === "string" || field.type === "bytes" || field.type === "records") {
			const noun = field.type === "string" ? "string" : "bytes";
			return `reader.${nullable ? `nullable${capital(noun)}` : noun}(${flexible})`;
		}
		return `reader.${field.type}()`;
	}

	readTagsLines(fields, range) {
		const flexible = this.flexibleText(range);
		const tagged = fields.filter((field) => field.tag !== null);
		const declarations = tagged.map(
			(field) => `let ${variable(field)}${this.declaredType(field)} = ${this.defaultText(field)};`,
		);
		if (flexible === "false") return declarations.map((line) => line.replace("let", "const"));
		const when = flexible === "true" ? "" : "if (flexible) ";
		if (tagged.length === 0) return [`${when}reader.skipTags();`];
		const lines = [];
		const known = intersect(range, [this.message.flexibleFrom, range[1]]);
		for (const field of tagged) {
			const present = condition(field.versions, known);
			const own = intersect(field.versions, known);
			const test = `tag === ${field.tag}${present === "" ? "" : ` && ${present}`}`;
			lines.push(`if (${test}) ${variable(field)} = ${this.readValue(field, own)};`, "else");
		}
		return [
			...declarations,
			...(flexible === "true" ? [] : ["if (flexible) {"]),
			"for (let left = reader.tagCount(); left > 0; left--) {",
			"const tag = reader.unsignedVarint();",
			"const end = reader.taggedEnd();",
			...lines,
			"reader.skipTo(end);",
			"reader.expectAt(end);",
			"}",
			...(flexible === "true" ? [] : ["}"]),
		];
	}

	// Writing

	writerText({ name, fields, range, exported }) {
		const lines = [];
		for (const field of fields) {
			if (field.tag === null) lines.push(...this.writeLines(field, range));
		}
		lines.push(...this.writeTagsLines(fields, range));
		const usesVersion = lines.some((line) => /\b(version|flexible)\b/.test(line));
		return [
			`${exported ? "export " : ""}function write${name}(`,
			`writer: KafkaWriter, message: ${name}, ${usesVersion ? "" : "_"}version: number): void {`,
			...this.flexibleLines(lines),
			...lines,
			"}",
		].join("\n");
	}

	writeLines(field, range) {
		const present = condition(field.versions, range);
		const own = intersect(field.versions, range);
		if (present === null) return this.absentLines(field);
		const optional = this.isOptional(field, range) ? ` ?? ${this.defaultText(field)}` : "";
		// `null ?? default` would lose the null.
		const nullable = field.nullable !== null && field.default !== null && optional !== "";
		const value = nullable
			? `message.${field.name} === undefined ? ${this.defaultText(field)} : message.${field.name}`
			: `message.${field.name}${optional}`;
		const statement = this.writeStatement(field, own, value);
		if (present === "") return [statement];
		const absent = this.absentLines(field);
		return [
			...[`if (${present}) {`, statement, "}"],
			...(absent.length > 0 ? ["else {", ...absent, "}"] : []),
		];
	}

	/** What versions without a field do when it is set. */
	absentLines(field) {
		if (field.ignorable) return [];
		return [
			`if (${this.isSetText(field)}) absentField("${this.message.name}.${field.name}", version);`,
		];
	}

	writeStatement(field, range, value) {
		const write = (nullable, text) => this.writeNamed(field, range, nullable, text);
		if (field.nullable === null) return write(false, value);
		const nullable = condition(field.nullable, range);
		if (nullable === "") return write(true, value);
		const definite = `requiredField(${value}, "${this.message.name}.${field.name}", version)`;
		if (nullable === null) return write(false, definite);
		return `if (${nullable}) ${write(true, value)} else ${write(false, definite)}`;
	}

	writeNamed(field, range, nullable, value) {
		const flexible = this.flexibleText(range);
		if (field.array) {
			const element = this.elementFunction("write", field, flexible);
			const method = nullable ? "nullableArray" : "array";
			return `writer.${method}(${value}, ${element}, version, ${flexible});`;
		}
		if (!PRIMITIVES.has(field.type)) {
			const write = (text) => `write${this.message.name}${field.type}(writer, ${text}, version);`;
			if (!nullable) return write(value);
			const method = field.tag === null ? "present" : "presentTagged";
			return `const ${field.name} = ${value}; writer.${method}(${field.name} !== null);
				if (${field.name} !== null) ${write(field.name)}`;
		}
		if (field.type === "bool") return `writer.boolean(${value});`;
		if (["string", "bytes", "records"].includes(field.type)) {
			const method = nullable ? `nullable${capital(field.type)}` : field.type;
			return `writer.${method}(${value}, ${flexible});`;
		}
		// Counted as they are written.
		const isError = field.name === "errorCode" || field.name === "partitionErrorCode";
		return `writer.${isError ? "errorCode" : field.type}(${value});`;
	}

	/** Whether a field of `message` has another value than its default. */
	isSetText(field, path = `message.${field.name}`) {
		const optional = this.directions.reads ? "" : `${path} !== undefined && `;
		if (field.array) {
			if (field.nullable === null) return `${optional}${path}.length > 0`;
			if (field.default === null) return `${optional}${path} !== null`;
			return `${optional}(${path} === null || ${path}.length > 0)`;
		}
		if (PRIMITIVES.has(field.type)) {
			if (field.type === "bytes") return `${optional}${path}.length > 0`;
			if (field.type === "records") throw new Error("records that may be left out");
			return `${optional}${path} !== ${this.defaultText(field)}`;
		}
		if (field.default === null) return `${optional}${path} !== null`;
		const fields = this.message.structs.get(field.type);
		const parts = fields.map((inner) => `(${this.isSetText(inner, `${path}.${inner.name}`)})`);
		if (field.nullable !== null) parts.unshift(`${path} === null`);
		return `${optional}(${parts.join(" || ")})`;
	}

	writeTagsLines(fields, range) {
		const flexible = this.flexibleText(range);
		// Tagged fields are ordered by their numbers, wherever the definition has them.
		const tagged = fields
			.filter((field) => field.tag !== null)
			.sort((left, right) => left.tag - right.tag);
		if (flexible === "false" && tagged.length === 0) return [];
		if (tagged.length === 0) {
			return [`${flexible === "true" ? "" : "if (flexible) "}writer.unsignedVarint(0);`];
		}
		const has = ({ name }) => `has${capital(name)}`;
		const lines = [];
		const checks = [];
		for (const field of tagged) {
			const present = condition(field.versions, range);
			const absent = `absentField("${this.message.name}.${field.name}", version);`;
			lines.push(`const ${has(field)} = ${this.isSetText(field)};`);
			if (present !== "" && !field.ignorable) {
				const missing = field.versions[0] > range[0] ? `version < ${field.versions[0]} && ` : "";
				checks.push(`if (${missing}${has(field)}) ${absent}`);
			}
		}
		const known = intersect(range, [this.message.flexibleFrom, range[1]]);
		const conditions = tagged.map((field) => {
			const present = condition(field.versions, known);
			return `${present === "" ? "" : `${present} && `}${has(field)}`;
		});
		const counted = conditions.map((text) => `(${text} ? 1 : 0)`).join(" + ");
		const body = [`writer.unsignedVarint(${counted});`];
		for (const [index, field] of tagged.entries()) {
			const own = intersect(field.versions, known);
			body.push(
				`if (${conditions[index]}) {`,
				`const start = writer.startTagged(${field.tag});`,
				this.writeStatement(field, own, `message.${field.name}`),
				"writer.endTagged(start);",
				"}",
			);
		}
		if (flexible === "true") return [...lines, ...checks, ...body];
		return [...lines, ...checks, "if (flexible) {", ...body, "}"];
	}
}

/** The TypeScript of one message, in the directions { reads, writes }. */
export function generateMessage(message, directions) {
	return new MessageGenerator(message, directions).generate();
}
