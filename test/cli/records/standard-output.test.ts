import { Writable } from "node:stream";
import { expect, test } from "vitest";

import { StandardOutput } from "../../../src/cli/records/standard-output.ts";

/** A stream that keeps what it is given and takes the next piece only when told to. */
class SlowStream extends Writable {
	readonly pieces: Buffer[] = [];
	#taken: (() => void) | undefined;

	constructor() {
		super({ highWaterMark: 1 });
	}

	override _write(chunk: Buffer, _encoding: string, taken: () => void): void {
		this.pieces.push(Buffer.from(chunk));
		this.#taken = taken;
	}

	take(): void {
		this.#taken?.();
	}
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("lines of one turn go out together and in order, long ones too", async () => {
	const stream = new SlowStream();
	const output = new StandardOutput(stream);
	void output.writeLine(Buffer.from("a"));
	void output.writeLine(Buffer.from("b"));
	await turn();
	expect(stream.pieces.map(String)).toEqual(["a\nb\n"]);
	void output.writeLine(Buffer.from("c"));
	void output.writeLine(Buffer.alloc(300_000, "d"));
	for (let count = 0; count < 4; count++) {
		stream.take();
		await turn();
	}
	expect(Buffer.concat(stream.pieces).toString()).toBe(`a\nb\nc\n${"d".repeat(300_000)}\n`);
});

test("a reader that is behind makes the writer wait", async () => {
	const stream = new SlowStream();
	const output = new StandardOutput(stream);
	expect(output.writeLine(Buffer.from("a"))).toBeUndefined();
	await turn();
	const waiting = output.writeLine(Buffer.from("b"));
	expect(waiting).toBeInstanceOf(Promise);
	let done = false;
	void waiting?.then(() => {
		done = true;
	});
	await turn();
	expect(done).toBe(false);
	stream.take();
	await turn();
	stream.take();
	await turn();
	expect(done).toBe(true);
});

test("a reader that goes away ends the output without a failure", async () => {
	const stream = new SlowStream();
	const output = new StandardOutput(stream);
	void output.writeLine(Buffer.from("a"));
	await turn();
	const waiting = output.writeLine(Buffer.from("b"));
	stream.destroy(Object.assign(new Error("gone"), { code: "EPIPE" }));
	await waiting;
	expect(output.closed).toBe(true);
	expect(output.writeLine(Buffer.from("c"))).toBeUndefined();
	await output.end();
});

test("a full disk is a failure", async () => {
	const stream = new SlowStream();
	const output = new StandardOutput(stream);
	void output.writeLine(Buffer.from("a"));
	await turn();
	const waiting = output.writeLine(Buffer.from("b"));
	stream.destroy(Object.assign(new Error("no space"), { code: "ENOSPC" }));
	await expect(waiting).rejects.toThrow("no space");
	await expect(output.end()).rejects.toThrow("no space");
});
