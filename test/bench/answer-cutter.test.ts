import { expect, test } from "vitest";

import { AnswerCutter } from "../../bench/harness/answer-cutter.ts";

/** Behind its length. */
function framed(answer: Buffer): Buffer {
	const length = Buffer.alloc(4);
	length.writeInt32BE(answer.length);
	return Buffer.concat([length, answer]);
}

const answers = [3, 0, 70_000, 1, 65_536, 80_000].map((bytes, index) => Buffer.alloc(bytes, index));
const stream = Buffer.concat(answers.map(framed));

test.for([1, 3, 4, 5, 7, 1_000, 65_536])("answers are whole in pieces of %d bytes", (bytes) => {
	const found: Buffer[] = [];
	const cutter = new AnswerCutter((answer) => found.push(Buffer.from(answer)));
	for (let at = 0; at < stream.length; at += bytes) cutter.take(stream.subarray(at, at + bytes));
	expect(found).toHaveLength(answers.length);
	for (const [index, answer] of answers.entries()) {
		expect(Buffer.compare(found[index] as Buffer, answer)).toBe(0);
	}
});

test("an answer stays as it is while the piece that completed it is taken apart", () => {
	const found: Buffer[] = [];
	const cutter = new AnswerCutter((answer) => found.push(answer));
	cutter.take(Buffer.concat([1, 2, 3].map((value) => framed(Buffer.alloc(10, value)))));
	expect(found.map((answer) => answer[9])).toEqual([1, 2, 3]);
});

test.for([-1, 16_777_217])("a length of %d is refused", (bytes) => {
	const length = Buffer.alloc(4);
	length.writeInt32BE(bytes);
	expect(() => new AnswerCutter(() => undefined).take(length)).toThrow(`an answer of ${bytes}`);
});
