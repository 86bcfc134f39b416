/**
 * Windows are placed in slots, whose buffers show one topic after the other: what is lent stays as
 * it is meanwhile, there are no more buffers than windows in use at a time, and a view that came
 * back raises no signal.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { expectGivenBack, expectValue, StorageAtWork } from "./storage-at-work.mjs";

const COUNT = 30;
const ROUNDS = 8;
/** Windows of one topic: they start at every 8 MiB. */
const WINDOWS = 4;
const dataDir = process.argv[2];

const work = await StorageAtWork.open({ dataDir });

/** Batches that lie elsewhere in every topic, so that those of another would be noticed. */
async function fill(round) {
	const bytes = 1_000_000 - round * 10_007;
	for (let offset = 0; offset < COUNT; offset++) await work.append(bytes);
	return bytes;
}

async function readAll(bytes, seen) {
	for (let offset = 0; offset < COUNT; offset++) {
		const view = await work.view(offset);
		expectValue(view, offset, bytes);
		seen(view.buffer);
		work.release(view);
	}
}

function expectKept(kept) {
	for (const { view, offset, bytes } of kept) expectValue(view, offset, bytes);
}

// One view of every topic is kept while the others come and go.
const buffers = new Set();
const kept = [];
let stale;
for (let round = 0; round < ROUNDS; round++) {
	if (round > 0) await work.openTopic();
	const bytes = await fill(round);
	await readAll(bytes, (buffer) => buffers.add(buffer));
	const offset = (round * 11) % COUNT;
	kept.push({ view: await work.view(offset), offset, bytes });
	stale = await work.view((offset + COUNT / 2) % COUNT);
	work.release(stale);
	expectKept(kept);
	await work.deleteTopic();
	expectKept(kept);
}
assert.equal(new Set(kept.map(({ view }) => view.buffer)).size, ROUNDS);
const most = WINDOWS + ROUNDS - 1;
assert.ok(buffers.size <= most, `${buffers.size} buffers for ${most} windows at a time`);
// It came back with its topic gone: nothing is in its slot.
assert.ok(stale.length > 0 && stale.every((byte) => byte === 0));
assert.equal(work.storage.viewsLent, kept.length);
for (const { view } of kept) {
	work.release(view);
	// What came back is nobody's to give back again: the slot may be another's.
	work.release(view);
}
assert.equal(work.storage.viewsLent, 0);
await expectGivenBack(dataDir);

// A window that was given up while it was lent, since records of its topic went, is lent again.
await work.openTopic();
const bytes = await fill(ROUNDS);
const before = await work.view(5);
await work.storage.deleteRecords(work.topic, 0, 2);
await sleep(50);
const again = await work.view(5);
assert.equal(again.buffer, before.buffer);
work.release(before);
await work.deleteTopic();
await work.openTopic();
await readAll(await fill(ROUNDS + 1), (buffer) => assert.notEqual(buffer, again.buffer));
expectValue(again, 5, bytes);

// What is lent outlives even the storage.
await work.close();
expectValue(again, 5, bytes);
work.release(again);
assert.equal(again.length, 0);
await expectGivenBack(dataDir);
