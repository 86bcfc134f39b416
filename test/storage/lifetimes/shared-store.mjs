/**
 * Threads that open one directory share its store: handles mean the same, each appends, reads and
 * waits by itself, and the last one that closes it closes it for all. Other processes are refused.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

import { expectGivenBack, Storage, StorageAtWork } from "./storage-at-work.mjs";

const THREADS = 3;
const ROUNDS = 40;

const [, , root, role] = process.argv;
if (!isMainThread) await work(workerData);
else if (role === "intruder") await intrude();
else await share();

async function share() {
	const dataDir = join(root, "data");
	const main = await StorageAtWork.open({ dataDir });
	symlinkSync(dataDir, join(root, "link"));
	const threads = Array.from({ length: THREADS }, (_, index) => {
		const options = { dataDir: index === 0 ? join(root, "link") : dataDir };
		const data = { index, options, topicId: main.topicId, handle: main.topic };
		return new Worker(new URL(import.meta.url), { workerData: data });
	});
	// Listened for before it can be said: what nobody listens for is lost.
	await Promise.all([told(threads, "appended"), appendAll(main, THREADS)]);
	const total = (THREADS + 1) * ROUNDS;
	assert.equal(main.logEnd, total);
	await checkAll(main, total);

	await assert.rejects(Storage.open({ dataDir, flushThreadsMax: 3 }), (error) => {
		assert.equal(error.code, "INVALID_ARGUMENT");
		assert.match(error.message, /flush threads max 16, not 3/);
		return true;
	});
	const intruder = spawnSync(process.execPath, [fileURLToPath(import.meta.url), root, "intruder"]);
	assert.equal(`${intruder.stderr}`, "DATA_DIRECTORY_IN_USE");

	// Whoever appends wakes whoever waits, in whatever thread.
	const visible = main.visible(total);
	const appended = told([threads[0]], "done");
	threads[0].postMessage("append");
	await Promise.all([visible, appended]);
	const others = threads.slice(1);
	const waiting = told(others, "waiting");
	for (const thread of others) thread.postMessage("wait");
	await waiting;
	await Promise.all([told(others, "done"), main.append(100)]);

	// A topic that one thread deletes is given up by all of them, views that are not lent included.
	await main.deleteTopic();
	await expectGivenBack(dataDir);
	await main.close();
	const ended = threads.map((thread) => once(thread, "exit"));
	for (const thread of threads) thread.postMessage("close");
	const codes = await Promise.all(ended);
	assert.deepEqual(codes.flat(), [0, 0, 0]);

	// The last one has unlocked it, and noted a clean stop.
	const again = await StorageAtWork.open({ dataDir });
	assert.deepEqual(again.storage.recoveryReport, []);
	assert.equal(again.leaderEpoch, 0, "the stop was not clean");
	await again.close();
}

async function appendAll(own, index) {
	for (let round = 0; round < ROUNDS; round++) {
		const value = Buffer.from(`${index} ${round}`);
		if (round % 2 === 0) await own.appendValue(value);
		else own.release(await own.view(await own.appendValue(value)));
	}
}

/** Every value of every thread is there once, each thread's in its order. */
async function checkAll(own, total) {
	const next = Array(THREADS + 1).fill(0);
	for (let offset = 0; offset < total; offset++) {
		const view = await own.view(offset);
		// A batch of one record ends with its value and the number of its headers.
		const value = /(\d) (\d+)\0$/.exec(Buffer.from(view).toString("latin1"));
		own.release(view);
		const [index, round] = [Number(value?.[1]), Number(value?.[2])];
		assert.equal(round, next[index]++, `the value at offset ${offset}`);
	}
	assert.deepEqual(next, Array(THREADS + 1).fill(ROUNDS));
}

async function told(threads, word) {
	const words = await Promise.all(threads.map((thread) => once(thread, "message")));
	for (const [said] of words) assert.equal(said, word);
}

async function work({ index, options, topicId, handle }) {
	const own = await StorageAtWork.open(options, topicId);
	assert.equal(own.topic, handle);
	await appendAll(own, index);
	parentPort.postMessage("appended");
	for (;;) {
		const [order] = await once(parentPort, "message");
		if (order === "close") break;
		if (order === "append") {
			await checkAll(own, own.logEnd);
			await own.append(100);
		} else {
			const visible = own.visible(own.logEnd);
			parentPort.postMessage("waiting");
			await visible;
		}
		parentPort.postMessage("done");
	}
	await own.close();
	parentPort.close();
}

async function intrude() {
	await Storage.open({ dataDir: join(root, "data") }).catch((error) => {
		process.stderr.write(error.code);
	});
}
