/**
 * Threads with storages of their own, in memory and on other directories, and threads that share
 * the main thread's, that end with views lent out, watches set and appends under way: of their own
 * accord, by an exception and by being terminated. The main thread's storage and views are not
 * disturbed, and what the threads had open is closed.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

import { expectValue, StorageAtWork } from "./storage-at-work.mjs";

const BYTES = 300_000;
const COUNT = 10;

if (isMainThread) await watchOver();
else await work(workerData);

async function watchOver() {
	const dataDir = process.argv[2];
	const main = await StorageAtWork.open({ dataDir: join(dataDir, "main") });
	const lent = [];
	let number = 0;
	for (const place of ["memory", "disk", "shared"]) {
		for (const ending of ["close", "idle", "exit", "throw", "terminate", "terminate early"]) {
			const offset = await main.append(BYTES);
			lent.push([offset, await main.view(offset)]);
			const workers = [0, 1].map(() => {
				const own = place === "shared" ? "main" : `worker-${number++}`;
				const options = { dataDir: join(dataDir, own), memory: place === "memory" };
				return new Worker(new URL(import.meta.url), { workerData: { options, ending } });
			});
			await Promise.all(workers.map((worker) => ended(worker, ending)));
			for (const [at, view] of lent) expectValue(view, at, BYTES);
		}
	}
	for (const [, view] of lent) main.release(view);
	await main.append(BYTES);
	await main.close();
	// None of them is in use any more.
	for (const directory of readdirSync(dataDir)) {
		const left = await StorageAtWork.open({ dataDir: join(dataDir, directory) });
		assert.equal(left.leaderEpoch, 0, "the stop was not clean");
		await left.close();
	}
}

async function ended(worker, ending) {
	// `once` rejects where an error comes first.
	const heard = (event) => new Promise((resolve) => worker.once(event, resolve));
	const exit = heard("exit");
	const failure = ending === "throw" ? heard("error") : undefined;
	if (ending === "terminate early") {
		// While it opens its storage, most of the time.
		await heard("online");
		await sleep(Math.random() * 100);
	} else {
		await heard("message");
	}
	if (ending.startsWith("terminate")) await worker.terminate();
	if (failure !== undefined) assert.equal((await failure).message, "the end");
	assert.equal(await exit, /throw|terminate/.test(ending) ? 1 : 0);
}

async function work({ options, ending }) {
	const own = await StorageAtWork.open(options);
	const lent = [];
	for (let offset = 0; offset < COUNT; offset++) {
		await own.append(BYTES);
		lent.push(await own.view(offset));
	}
	for (const [offset, view] of lent.entries()) expectValue(view, offset, BYTES);
	own.storage.watch(own.topic, 0, own.logEnd - 1, () => undefined);
	if (ending === "close") await own.close();
	else if (ending !== "idle") own.appendUnawaited(BYTES);
	parentPort.postMessage("ready");
	if (ending === "exit") process.exit(0);
	if (ending === "throw") throw new Error("the end");
	if (ending.startsWith("terminate")) {
		own.storage.watch(own.topic, 0, own.logEnd, () => undefined);
		await sleep(60_000);
	}
}
