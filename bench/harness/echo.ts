/** A bare echo over the transport that the broker would choose: the least that an answer takes. */
import { once } from "node:events";
import WebSocket from "ws";

import { LatencyRecorder, type Pace, sendPaced } from "./latency.ts";
import type { Latency } from "./results.ts";
import { startEchoProcess } from "./server-process.ts";

/** What a limit of this kind is called. */
export const ECHO = "bare echo, paced alike";

/** Answers are waited for so long behind the last message. */
const ANSWERS_MS_MAX = 60_000;

/** Messages of one size at a fixed pace to a server that sends them back. */
export async function measureEcho(
	{ perSecond, seconds }: Pace,
	warmUp: Pace,
	messageBytes: number,
): Promise<Latency> {
	const server = await startEchoProcess();
	const socket = new WebSocket(server.url, {
		perMessageDeflate: false,
		generateMask: (key) => key.fill(0),
	});
	try {
		await once(socket, "open");
		const message = new Uint8Array(messageBytes);
		await echo(socket, message, warmUp);
		return (await echo(socket, message, { perSecond, seconds })).summary();
	} finally {
		socket.terminate();
		await server.stop();
	}
}

async function echo(socket: WebSocket, message: Uint8Array, pace: Pace): Promise<LatencyRecorder> {
	const recorder = new LatencyRecorder();
	const dueTimes: number[] = [];
	const answered = (): void => {
		recorder.record(performance.now() - (dueTimes[recorder.count] as number));
	};
	socket.on("message", answered);
	await sendPaced(pace, (dueMs) => {
		dueTimes.push(dueMs);
		socket.send(message);
	});
	const signal = AbortSignal.timeout(ANSWERS_MS_MAX);
	while (recorder.count < dueTimes.length) await once(socket, "message", { signal });
	socket.off("message", answered);
	return recorder;
}
