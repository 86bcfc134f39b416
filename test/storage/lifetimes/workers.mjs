/**
 * Threads with storages of their own, in memory and on other directories, that end with views lent
 * out and appends under way, of their own accord and by being terminated: the main thread's storage
 * and views are not disturbed.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
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
	for (const memory of [true, false]) {
		for (const ending of ["close", "exit", "terminate"]) {
			const offset = await main.append(BYTES);
			lent.push([offset, await main.view(offset)]);
			const options = { dataDir: join(dataDir, `worker-${number++}`), memory };
			const workers = [0, 1].map((index) => {
				const own = { ...options, dataDir: `${options.dataDir}-${index}` };
				return new Worker(new URL(import.meta.url), { workerData: { options: own, ending } });
			});
			await Promise.all(workers.map((worker) => ended(worker, ending)));
			for (const [at, view] of lent) expectValue(view, at, BYTES);
		}
	}
	for (const [, view] of lent) main.release(view);
	await main.append(BYTES);
	await main.close();
}

async function ended(worker, ending) {
	const exit = once(worker, "exit");
	await once(worker, "message");
	if (ending === "terminate") await worker.terminate();
	const [code] = await exit;
	assert.equal(code, ending === "terminate" ? 1 : 0);
}

async function work({ options, ending }) {
	const own = await StorageAtWork.open(options);
	const lent = [];
	for (let offset = 0; offset < COUNT; offset++) {
		await own.append(BYTES);
		lent.push(await own.view(offset));
	}
	for (const [offset, view] of lent.entries()) expectValue(view, offset, BYTES);
	if (ending === "close") await own.close();
	else own.appendUnawaited(BYTES);
	parentPort.postMessage("ready");
	if (ending === "exit") process.exit(0);
	if (ending === "terminate") await sleep(60_000);
}
