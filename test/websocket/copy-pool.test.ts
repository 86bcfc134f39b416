import { expect, test } from "vitest";

import { CopyPool } from "../../src/websocket/copy-pool.ts";

test("a copy stays what it was until it is released, and its memory is used again then", () => {
	const pool = new CopyPool([{ bufferBytes: 1_000, idleMax: 1 }]);
	const bytes = new Uint8Array(900).fill(1);
	const first = pool.copy(bytes);
	bytes.fill(2);
	const second = pool.copy(bytes);
	expect(first.every((byte) => byte === 1)).toBe(true);
	expect(second.every((byte) => byte === 2)).toBe(true);
	const memory = first.buffer;
	pool.release(first);
	pool.release(second);
	const third = pool.copy(bytes.subarray(0, 500));
	expect(third.buffer).toBe(memory);
	expect(third).toHaveLength(500);
	expect(pool.copy(bytes).buffer).not.toBe(second.buffer);
});

test("what is small or larger than a buffer has memory of its own, which is not kept", () => {
	const pool = new CopyPool([
		{ bufferBytes: 1_000, idleMax: 4 },
		{ bufferBytes: 100, idleMax: 4 },
	]);
	for (const length of [0, 10, 24, 101, 249, 1_001]) {
		const copy = pool.copy(new Uint8Array(length).fill(7));
		expect([...copy]).toEqual(Array(length).fill(7));
		pool.release(copy);
	}
	for (const [length, size] of [
		[600, 1_000],
		[60, 100],
	] as const) {
		expect(pool.copy(new Uint8Array(length)).buffer.byteLength).toBe(size);
	}
});
