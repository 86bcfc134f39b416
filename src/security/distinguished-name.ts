/**
 * The subject of a certificate as Java writes it by RFC 2253, which is what Kafka makes principals
 * and their access rules of: `CN=alice,OU=ops,O=Example`. Node's own text has another order and no
 * escapes, so the name is read from the certificate's bytes (X.509, DER).
 */
import type { X509Certificate } from "node:crypto";

/** Names of attribute types that RFC 2253 has; others are written as numbers. */
const KEYWORDS: ReadonlyMap<string, string> = new Map([
	["2.5.4.3", "CN"],
	["2.5.4.6", "C"],
	["2.5.4.7", "L"],
	["2.5.4.8", "ST"],
	["2.5.4.9", "STREET"],
	["2.5.4.10", "O"],
	["2.5.4.11", "OU"],
	["0.9.2342.19200300.100.1.1", "UID"],
	["0.9.2342.19200300.100.1.25", "DC"],
]);

const EXPLICIT_VERSION = 0xa0;
const ESCAPED = new Set(',=+<>#;"\\');

/** One value of DER: its tag, its content, and all of its bytes. */
interface DerValue {
	readonly tag: number;
	readonly content: Buffer;
	readonly whole: Buffer;
}

/** The subject's distinguished name by RFC 2253, the most particular part first. */
export function subjectName({ raw }: Pick<X509Certificate, "raw">): string {
	const [certificate] = derValues(raw);
	const [signed] = derValues(contentOf(certificate));
	const fields = derValues(contentOf(signed)).filter(({ tag }) => tag !== EXPLICIT_VERSION);
	// Serial number, signature algorithm, issuer, validity, subject.
	const relativeNames = derValues(contentOf(fields[4]));
	return relativeNames.reverse().map(relativeName).join(",");
}

function relativeName(set: DerValue): string {
	return derValues(set.content)
		.map((attribute) => {
			const [type, value] = derValues(attribute.content);
			return attributeText(objectIdentifier(contentOf(type)), value as DerValue);
		})
		.join("+");
}

function attributeText(type: string, value: DerValue): string {
	const keyword = KEYWORDS.get(type);
	const text = keyword === undefined ? undefined : directoryString(value);
	if (text === undefined) return `${keyword ?? type}=#${value.whole.toString("hex")}`;
	return `${keyword}=${escaped(text)}`;
}

/** Undefined for what is no text. */
function directoryString({ tag, content }: DerValue): string | undefined {
	switch (tag) {
		case 0x0c: // UTF8String
		case 0x13: // PrintableString
		case 0x16: // IA5String
		case 0x1b: // GeneralString
			return content.toString("utf8");
		case 0x14: // T61String
			return content.toString("latin1");
		case 0x1e: // BMPString
			return Buffer.from(content).swap16().toString("utf16le");
		default:
			return undefined;
	}
}

function escaped(text: string): string {
	const inner = [...text].map((character) => {
		if (character === "\0") return "\\00";
		return ESCAPED.has(character) ? `\\${character}` : character;
	});
	for (let index = 0; index < inner.length && inner[index] === " "; index++) inner[index] = "\\ ";
	for (let index = inner.length - 1; index >= 0 && inner[index] === " "; index--) {
		inner[index] = "\\ ";
	}
	return inner.join("");
}

function objectIdentifier(content: Buffer): string {
	const numbers: bigint[] = [];
	let number = 0n;
	for (const byte of content) {
		number = (number << 7n) | BigInt(byte & 0x7f);
		if (byte < 0x80) {
			numbers.push(number);
			number = 0n;
		}
	}
	const [both = 0n, ...rest] = numbers;
	const first = both < 80n ? both / 40n : 2n;
	return [first, both - first * 40n, ...rest].join(".");
}

/** The values that stand one behind the other; OpenSSL has parsed the certificate before. */
function derValues(bytes: Buffer): DerValue[] {
	const values: DerValue[] = [];
	let at = 0;
	while (at < bytes.length) {
		const tag = bytes.readUInt8(at);
		const short = bytes.readUInt8(at + 1);
		const lengthBytes = short < 0x80 ? 0 : short & 0x7f;
		const length = lengthBytes === 0 ? short : bytes.readUIntBE(at + 2, lengthBytes);
		const start = at + 2 + lengthBytes;
		if (start + length > bytes.length) throw new Error("a certificate ends within a value");
		const content = bytes.subarray(start, start + length);
		values.push({ tag, content, whole: bytes.subarray(at, start + length) });
		at = start + length;
	}
	return values;
}

function contentOf(value: DerValue | undefined): Buffer {
	if (value === undefined) throw new Error("a certificate lacks a value");
	return value.content;
}
