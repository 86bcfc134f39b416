import fc from "fast-check";
import { expect, test } from "vitest";

import { LineSplitter, LineTooLongError } from "../../../src/cli/records/line-splitter.ts";
import { seed } from "../../seed.ts";

function split(chunks: Uint8Array[], lineBytesMax = 1_000): Uint8Array[] {
	const splitter = new LineSplitter(lineBytesMax);
	const lines: Uint8Array[] = [];
	for (const chunk of chunks) {
		splitter.push(Buffer.from(chunk));
		for (let line = splitter.next(); line !== null; line = splitter.next()) lines.push(line);
	}
	const last = splitter.end();
	if (last !== null) lines.push(last);
	if (splitter.lineCount !== lines.length) throw new Error(`counted ${splitter.lineCount} lines`);
	return lines.map((line) => new Uint8Array(line));
}

const text = (...chunks: string[]) =>
	split(chunks.map((chunk) => Buffer.from(chunk))).map((line) => Buffer.from(line).toString());

test.each([
	[["a\nb\n"], ["a", "b"]],
	[["a\nb"], ["a", "b"]],
	[["\n\n"], ["", ""]],
	[
		["a", "b", "\n", "", "c\r\n"],
		["ab", "c\r"],
	],
	[[], []],
	[
		["\n", "x"],
		["", "x"],
	],
])("%j are the lines %j", (chunks, lines) => {
	expect(text(...chunks)).toEqual(lines);
});

test("any bytes in any chunks: lines and newlines together are the input", () => {
	const byte = fc.oneof(fc.constant(10), fc.integer({ min: 0, max: 255 }));
	const chunk = fc.array(byte, { maxLength: 20 }).map((bytes) => Uint8Array.from(bytes));
	fc.assert(
		fc.property(fc.array(chunk, { maxLength: 8 }), (chunks) => {
			const input = Buffer.concat(chunks);
			const lines = split(chunks);
			const output = Buffer.concat(lines.flatMap((line) => [line, Uint8Array.of(10)]));
			const complete = input.length === 0 || input.at(-1) === 10;
			expect(output).toEqual(complete ? input : Buffer.concat([input, Uint8Array.of(10)]));
		}),
		{ seed },
	);
});

test("a line beyond the bound is refused before it is collected", () => {
	expect(() => split([Buffer.from("abc\nabcd\n")], 3)).toThrow(LineTooLongError);
	expect(() => split([Buffer.from("ab"), Buffer.from("cd")], 3)).toThrow(/^line 1 is longer/);
	expect(split([Buffer.from("abc\n")], 3)).toHaveLength(1);
});
