/**
 * The configuration file: YAML, one flat mapping of option names to values. Dotted names stay as
 * they are (in TOML `websocket` and `websocket.transport` would be a value and a table), and
 * comments may stand anywhere.
 */
import { createReadStream } from "node:fs";
import {
	isAlias,
	isMap,
	isScalar,
	isSeq,
	LineCounter,
	type Node,
	type Pair,
	parseDocument,
} from "yaml";

import { ConfigError } from "./errors.ts";
import { unknownOption } from "./option-names.ts";
import type { Written } from "./values.ts";

/** What a file says of an option, and where. */
export interface FileEntry {
	readonly written: Written;
	/** `FILE:LINE:COLUMN` of the value. */
	readonly place: string;
}

/** What a file says. */
export interface ConfigFile {
	/** By option name. */
	readonly entries: ReadonlyMap<string, FileEntry>;
	/** Lines that say nothing, each with its place. */
	readonly problems: readonly string[];
}

/** All options with long lists take less than a tenth of it. */
const FILE_BYTES_MAX = 1_048_576;

/** Reads a configuration file. Rejects with ConfigError for what cannot be read or is none. */
export async function readConfigFile(path: string): Promise<ConfigFile> {
	let text: string;
	try {
		text = new TextDecoder("utf-8", { fatal: true }).decode(await readBounded(path));
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new ConfigError(`the configuration file cannot be read: ${reason}: ${path}`, { cause });
	}
	return parseConfigFile(text, path);
}

/** A pipe is as good as a file, and has no size to ask for. */
async function readBounded(path: string): Promise<Buffer> {
	const chunks: Buffer[] = [];
	// One byte more than is taken, to tell a file of that size from a larger one.
	for await (const chunk of createReadStream(path, { end: FILE_BYTES_MAX })) chunks.push(chunk);
	const bytes = Buffer.concat(chunks);
	if (bytes.length > FILE_BYTES_MAX) throw new Error(`more than ${FILE_BYTES_MAX} bytes`);
	return bytes;
}

/**
 * What a configuration file says. Throws ConfigError for what is no flat mapping; names that no
 * option has, and those that stand there twice, are problems. `path` is for the messages.
 */
export function parseConfigFile(text: string, path: string): ConfigFile {
	const lineCounter = new LineCounter();
	const document = parseDocument(text, {
		lineCounter,
		prettyErrors: false,
		uniqueKeys: false,
	});
	const placeAt = (offset: number) => placeOf(path, lineCounter, offset);
	const faults = [...document.errors, ...document.warnings];
	if (faults.length > 0) {
		throw new ConfigError(faults.map(({ message, pos }) => `${placeAt(pos[0])}: ${message}`));
	}
	const { contents } = document;
	const entries = new Map<string, FileEntry>();
	const problems: string[] = [];
	if (contents === null || (isScalar(contents) && contents.value === null)) {
		return { entries, problems };
	}
	if (!isMap<Node, Node | null>(contents)) {
		throw new ConfigError(`${placeAt(contents.range?.[0] ?? 0)}: expected lines of name: value`);
	}
	for (const pair of contents.items) {
		const place = placeAt(pair.key.range?.[0] ?? 0);
		const name = isScalar(pair.key) ? String(pair.key.value) : "";
		const problem = entries.has(name) ? `${name} is set twice` : unknownOption(name);
		if (problem !== undefined) {
			problems.push(`${place}: ${problem}`);
			continue;
		}
		const written = writtenIn(pair);
		const valuePlace = placeAt(pair.value?.range?.[0] ?? pair.key.range?.[1] ?? 0);
		if (written === undefined) {
			problems.push(`${valuePlace}: ${name}: expected a value or a list, given ${kindOf(pair)}`);
		} else entries.set(name, { written, place: valuePlace });
	}
	return { entries, problems };
}

type Entry = Pair<Node, Node | null>;

/** Undefined for what no option can be given. */
function writtenIn({ value }: Entry): Written | undefined {
	if (!isSeq<Node>(value)) return textOf(value);
	const texts = value.items.map((item) => textOf(item));
	return texts.every((text) => text !== undefined) ? texts : undefined;
}

/** A value as it stands there: a number of 64 bits keeps all digits so. */
function textOf(node: Node | null): string | undefined {
	if (!isScalar(node) || node.value === null) return undefined;
	return typeof node.value === "string" ? node.value : (node.source ?? String(node.value));
}

function kindOf({ value }: Entry): string {
	if (isMap(value)) return "a mapping";
	if (isAlias(value)) return 'an alias (quote a value that begins with *: "*")';
	return isSeq(value) ? "a list of other things" : "nothing";
}

function placeOf(path: string, lines: LineCounter, offset: number): string {
	const { line, col } = lines.linePos(offset);
	return `${path}:${line}:${col}`;
}
