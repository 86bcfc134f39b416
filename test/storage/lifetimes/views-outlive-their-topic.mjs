/**
 * A deleted topic gives its blocks back at once, without a garbage collection; views that are lent
 * out stay as they are until they come back.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";

import {
	expectGivenBack,
	expectValue,
	StorageAtWork,
	unlinkedFilesHeld,
} from "./storage-at-work.mjs";

const BYTES = 1_000_000;
const COUNT = 40;
const dataDir = process.argv[2];

/** Filled while it is being read: windows are outgrown and mapped anew. */
async function filled() {
	const work = await StorageAtWork.open({ dataDir });
	for (let offset = 0; offset < COUNT; offset++) {
		await work.append(BYTES);
		work.release(await work.view(offset));
	}
	return work;
}

// Views that were lent and came back: nothing but the cache holds their windows.
const first = await filled();
for (let offset = 0; offset < COUNT; offset++) first.release(await first.view(offset));
await first.deleteTopic();
await expectGivenBack(dataDir);
await first.close();

// Views that are lent while the topic goes: good until they come back, then the windows go.
const second = await filled();
const lent = [];
for (let offset = 0; offset < COUNT; offset += 3) lent.push([offset, await second.view(offset)]);
await second.deleteTopic();
assert.notDeepEqual(unlinkedFilesHeld(dataDir), []);
for (const [offset, view] of lent) expectValue(view, offset, BYTES);
for (const [, view] of lent) second.release(view);
await expectGivenBack(dataDir);
await second.close();

// Views that a socket sends from, to somebody who reads only when the topic has gone.
const third = await filled();
const server = createServer().listen(0, "127.0.0.1");
await once(server, "listening");
const socket = connect(server.address().port, "127.0.0.1");
const [reader] = await once(server, "connection");
const sent = [];
for (let offset = 0; offset < COUNT; offset++) {
	const view = await third.view(offset);
	sent.push(new Promise((resolve) => socket.write(view, resolve)).then(() => third.release(view)));
}
const firstView = await third.view(0);
const batchBytes = firstView.length;
third.release(firstView);
await third.deleteTopic();
socket.end();
const chunks = [];
for await (const chunk of reader) chunks.push(chunk);
const received = Buffer.concat(chunks);
await Promise.all(sent);
assert.equal(received.length, COUNT * batchBytes);
for (let offset = 0; offset < COUNT; offset++) {
	const batch = received.subarray(offset * batchBytes, (offset + 1) * batchBytes);
	expectValue(batch, offset, BYTES);
}
await expectGivenBack(dataDir);
await third.close();
server.close();
