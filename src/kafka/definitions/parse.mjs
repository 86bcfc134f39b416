// Reads the definitions in this folder. Their form:
//
//     # A comment.
//     api 0 Produce
//     versions 3-13
//     flexible 9+                    left out when no version is
//     advertised 0+                  where ApiVersions names more versions than are served
//
//     request
//       transactionalId: string? = null
//       topicData: [Topic]
//         name: string 0-12 ignorable
//         topicId: uuid 13+ ignorable
//
//     response
//       ...
//
// `record 1 OffsetCommit` stands for what a coordinator keeps in its topic under that number: a
// `key`, which has one version and is never flexible, and a `value`, to which the versions belong.
// `data ConsumerProtocolAssignment` is a structure inside of bytes; its fields stand at the
// margin.
//
// A field is `name: type [versions] [nullable versions] [tag number] [ignorable] [= default]`. A
// type is a primitive (bool int8 int16 uint16 int32 int64 float64 uuid string bytes records), a
// struct's name, or one of those in brackets for an array; `?` behind it: null is allowed. Without
// versions a field is in all in which what contains it is; `nullable` tells in which null is
// allowed where that is not all. `ignorable`: a version that lacks the field leaves a set one out,
// otherwise it is an error. A struct's fields are given once, below its first use. Structs are
// known within their own message alone.
import { readdirSync, readFileSync } from "node:fs";

export const VERSION_MAX = 32_767;

export const PRIMITIVES = new Set(
	"bool int8 int16 uint16 int32 int64 float64 uuid string bytes records".split(" "),
);

const VERSIONS = "(\\d+(?:-\\d+|\\+)?)";
const FIELD = new RegExp(
	`^([a-z]\\w*): (\\[?)(\\w+)(\\]?)(\\?)?(?: ${VERSIONS})?(?: nullable ${VERSIONS})?` +
		"(?: tag (\\d+))?( ignorable)?(?: = (\\S+))?$",
);

/** "3", "3-5" or "3+" as [first, last]. */
function parseVersions(text) {
	const [, first, rest] = /^(\d+)(-\d+|\+)?$/.exec(text);
	if (rest === undefined) return [Number(first), Number(first)];
	return [Number(first), rest === "+" ? VERSION_MAX : Number(rest.slice(1))];
}

function parseField(text, complain) {
	const match = FIELD.exec(text);
	if (match === null) return complain(`not a field: ${text}`);
	const [, name, open, type, close, mark, versions, nullable, tag, ignorable, fallback] = match;
	if ((open === "[") !== (close === "]")) complain(`unbalanced brackets: ${text}`);
	if (mark !== undefined && nullable !== undefined) complain(`nullable twice: ${text}`);
	if (!PRIMITIVES.has(type) && !/^[A-Z]/.test(type)) complain(`unknown type ${type}`);
	const everywhere = mark === undefined ? null : [0, VERSION_MAX];
	return {
		name,
		array: open === "[",
		type,
		versions: versions === undefined ? [0, VERSION_MAX] : parseVersions(versions),
		nullable: nullable === undefined ? everywhere : parseVersions(nullable),
		tag: tag === undefined ? null : Number(tag),
		ignorable: ignorable !== undefined,
		default: fallback === undefined ? undefined : JSON.parse(fallback),
	};
}

/** Turns indented lines into a tree: { text, number, children }. */
function parseTree(lines, complain) {
	const root = { indent: -1, children: [] };
	const open = [root];
	for (const { text, number } of lines) {
		const indent = text.length - text.trimStart().length;
		if (indent % 2 !== 0 || text.includes("\t")) complain("indent by two spaces", number);
		while (open.at(-1).indent >= indent) open.pop();
		const node = { indent, number, text: text.trim(), children: [] };
		if (indent > 0 && open.at(-1).indent !== indent - 2) complain("indented too far", number);
		open.at(-1).children.push(node);
		open.push(node);
	}
	return root.children;
}

/** The fields of a message, and its structs by name in order of first use. */
function parseFieldsAndStructs(nodes, complain) {
	const structs = new Map();
	const parseFields = (children) => {
		const names = new Set();
		return children.map((node) => {
			const field = parseField(node.text, (message) => complain(message, node.number));
			if (names.has(field.name)) complain(`${field.name} is there twice`, node.number);
			names.add(field.name);
			if (node.children.length > 0) {
				if (structs.has(field.type)) complain(`${field.type} is given twice`, node.number);
				structs.set(field.type, null);
				structs.set(field.type, parseFields(node.children));
			} else if (!PRIMITIVES.has(field.type) && !structs.get(field.type)) {
				complain(`nothing is known of ${field.type}`, node.number);
			}
			return field;
		});
	};
	return { fields: parseFields(nodes), structs };
}

/** The words of the head, by their first, and what stands behind the head. */
function parseHead(nodes, complain) {
	const head = new Map();
	const body = nodes.filter((node) => {
		const match = /^(api|data|record|versions|flexible|advertised) (.+)$/.exec(node.text);
		if (match === null) return true;
		if (head.has(match[1])) complain(`${match[1]} is there twice`, node.number);
		head.set(match[1], match[2]);
		return false;
	});
	return { head, body };
}

/**
 * One definition: { kind, name, file, number, advertisedFrom, messages }, the number an API's key
 * or a record's type. A message: { name, oldest, latest, flexibleFrom, fields, structs };
 * flexibleFrom is null where no version is.
 */
export function parseDefinition(file, text) {
	const complain = (message, line) => {
		throw new Error(`${file}${line === undefined ? "" : `:${line}`}: ${message}`);
	};
	const lines = text
		.split("\n")
		.map((line, index) => ({ text: line.replace(/\s*#.*$/, ""), number: index + 1 }))
		.filter((line) => line.text.trim() !== "");
	const { head, body } = parseHead(parseTree(lines, complain), complain);
	const [oldest, latest] = parseVersions(head.get("versions") ?? complain("no versions"));
	const flexibleFrom = head.has("flexible") ? parseVersions(head.get("flexible"))[0] : null;
	const versions = { oldest, latest, flexibleFrom };

	const kind = ["api", "record", "data"].find((word) => head.has(word));
	if (kind === undefined) complain("neither an api, nor a record, nor data");
	if (kind === "data") {
		const name = head.get(kind);
		const message = { name, ...versions, ...parseFieldsAndStructs(body, complain) };
		return { kind, name, file, messages: [message] };
	}
	const [, number, name] =
		/^(\d+) ([A-Z]\w*)$/.exec(head.get(kind)) ?? complain(`${kind} without number and name`);
	const titles = kind === "api" ? ["Request", "Response"] : ["Key", "Value"];
	if (body.length !== titles.length) complain(`not one ${titles.join(" and one ")}`);
	const messages = titles.map((title, index) => {
		if (body[index].text !== title.toLowerCase()) complain(`no ${title}`, body[index].number);
		return {
			name: `${name}${title}`,
			...(title === "Key" ? { oldest: 0, latest: 0, flexibleFrom: null } : versions),
			...parseFieldsAndStructs(body[index].children, complain),
		};
	});
	const advertisedFrom = head.has("advertised") ? parseVersions(head.get("advertised"))[0] : oldest;
	return { kind, name, file, number: Number(number), advertisedFrom, messages };
}

/** All definitions, ordered by file name. */
export function readDefinitions() {
	const directory = new URL("./", import.meta.url);
	return readdirSync(directory)
		.filter((file) => file.endsWith(".txt"))
		.sort()
		.map((file) => parseDefinition(file, readFileSync(new URL(file, directory), "utf8")));
}
