/**
 * What waits for its storage is waited for; what has nothing to wait for ends, although nobody has
 * closed the storage, and leaves it as a close would.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

import { StorageAtWork } from "./storage-at-work.mjs";

const COUNT = 50;

const [, , root, role] = process.argv;
if (!isMainThread) await forgetfulThread(workerData);
else if (role === "forgetful") await forgetfulProcess();
else await watchOver();

async function watchOver() {
	const dataDir = join(root, "process");
	const child = [fileURLToPath(import.meta.url), root, "forgetful"];
	const { status, stdout, stderr } = spawnSync(process.execPath, child, { encoding: "utf8" });
	assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
	const [topicId, acked] = stdout.split(" ");
	assert.equal(Number(acked), COUNT, "the process ended before its acks came");
	const left = await StorageAtWork.open({ dataDir }, topicId);
	assert.equal(left.logEnd, COUNT);
	assert.deepEqual(left.storage.recoveryReport, []);
	assert.equal(left.leaderEpoch, 0, "the stop was not clean");
	await left.close();

	// Threads that have a store alone, and that share it with this one.
	const alone = { dataDir: join(root, "alone") };
	assert.equal(await threadEnds({ options: alone }), 0);
	const after = await StorageAtWork.open(alone);
	assert.equal(after.leaderEpoch, 0, "the stop was not clean");
	await after.close();
	const own = await StorageAtWork.open({ dataDir });
	const data = { options: { dataDir }, topicId: own.topicId };
	assert.equal(await threadEnds(data), 0);
	await own.append(100);

	// A watch is something to wait for.
	const thread = new Worker(new URL(import.meta.url), { workerData: { ...data, waits: true } });
	await once(thread, "message");
	const exit = once(thread, "exit");
	const first = await Promise.race([exit, new Promise((resolve) => setTimeout(resolve, 300))]);
	assert.equal(first, undefined, "the thread ended while it waited");
	await own.append(100);
	assert.deepEqual(await exit, [0]);
	await own.close();
}

async function threadEnds(data) {
	const [code] = await once(new Worker(new URL(import.meta.url), { workerData: data }), "exit");
	return code;
}

async function forgetfulThread({ options, topicId, waits }) {
	const own = await StorageAtWork.open(options, topicId);
	if (!waits) {
		await own.append(100);
		return;
	}
	own.storage.watch(own.topic, 0, own.logEnd, () => undefined);
	parentPort.postMessage("waiting");
}

/** Writes the id of its topic and how many of its acks came. */
async function forgetfulProcess() {
	const own = await StorageAtWork.open({ dataDir: join(root, "process") });
	let acked = 0;
	for (let index = 0; index < COUNT; index++) void own.append(1_000).then(() => acked++);
	process.on("exit", () => process.stdout.write(`${own.topicId} ${acked}`));
}
