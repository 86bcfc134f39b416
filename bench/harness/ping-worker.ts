/**
 * Pings a WebSocket server from a thread of its own until it is told to stop, then posts what its
 * answers took; before, it says when it has enough of them. The answer to a
 * ping is the first thing that a server's loop does when it comes to it, so that this is what
 * everybody waits for the loop. Pings are sent by a timer, whatever is unanswered, and count from
 * when they were sent: a thread that spins to be exact would take the processor that the broker
 * needs.
 */
import { parentPort, workerData } from "node:worker_threads";
import WebSocket from "ws";
import { OPERATION } from "#dist/protocol/operations.js";
import { FrameWriter } from "#dist/protocol/writer.js";

import { LatencyRecorder } from "./latency.ts";

/** What the thread is started with. */
export interface PingOrder {
	readonly url: string;
	readonly subprotocol: string;
	/** Answers from the beginning on that are enough. */
	readonly wanted: number;
}

const INTERVAL_MS = 1;

/** Where a ping takes longer than this on average, there will never be enough of them. */
const PING_MS_MAX = 4;

/** Where the answers of the last pings are waited for. */
const LAST_MS_MAX = 10_000;

const { url, subprotocol, wanted } = workerData as PingOrder;
let recorder = new LatencyRecorder();
let isCounting = false;
let enoughMs = 0;
let sent = 0;
let answered = 0;
const socket = new WebSocket(url, subprotocol, { perMessageDeflate: false });
const payload = Buffer.alloc(8);

socket.on("pong", (data) => {
	answered += 1;
	recorder.record(performance.now() - data.readDoubleBE(0));
});
socket.on("open", () => {
	// Who says nothing for long is closed.
	socket.send(new FrameWriter().value([OPERATION.hello, 1, { client: "pings" }]).finish());
	const timer = setInterval(() => {
		payload.writeDoubleBE(performance.now());
		sent += 1;
		socket.ping(Buffer.from(payload));
		const isEnough = recorder.count >= wanted || performance.now() >= enoughMs;
		if (!isCounting || !isEnough) return;
		isCounting = false;
		parentPort?.postMessage("enough");
	}, INTERVAL_MS);
	parentPort?.on("message", (message: "begin" | "end") => {
		if (message === "begin") {
			recorder = new LatencyRecorder();
			enoughMs = performance.now() + wanted * PING_MS_MAX;
			isCounting = true;
			return;
		}
		clearInterval(timer);
		finish(performance.now() + LAST_MS_MAX);
	});
	parentPort?.postMessage("ready");
});

function finish(untilMs: number): void {
	if (answered < sent && performance.now() < untilMs) {
		setTimeout(() => finish(untilMs), INTERVAL_MS);
		return;
	}
	socket.terminate();
	if (answered < sent) throw new Error(`${sent - answered} pings were not answered`);
	parentPort?.postMessage(recorder.summary());
	parentPort?.close();
}
