/** Views of windows that overlap, all lent at once, show what was written, also in the overlap. */
import assert from "node:assert/strict";

import { expectValue, StorageAtWork, VALUE_BYTES_MAX } from "./storage-at-work.mjs";

const MEBIBYTE = 1_048_576;
// Batches around every multiple of 8 MiB, where windows start, and the largest that there can be.
const SIZES = [
	5 * MEBIBYTE,
	VALUE_BYTES_MAX,
	VALUE_BYTES_MAX,
	100,
	3 * MEBIBYTE,
	...Array(20).fill(MEBIBYTE - 100),
	VALUE_BYTES_MAX,
	1,
];

const work = await StorageAtWork.open({ dataDir: process.argv[2] });
for (const bytes of SIZES) await work.append(bytes);
const lent = [];
for (let round = 0; round < 3; round++) {
	for (const offset of SIZES.keys()) lent.push([offset, await work.view(offset)]);
}
const buffers = new Set(lent.map(([, view]) => view.buffer));
assert.ok(buffers.size > 3, `${buffers.size} windows are few for several that overlap`);
for (const [offset, view] of lent) expectValue(view, offset, SIZES[offset]);
// Given back in another order than lent; what is still lent stays as it is.
while (lent.length > 0) {
	const [[, view]] = lent.splice((lent.length * 7919) % lent.length, 1);
	work.release(view);
	if (lent.length % 10 === 0) {
		for (const [offset, view] of lent) expectValue(view, offset, SIZES[offset]);
	}
}
await work.close();
