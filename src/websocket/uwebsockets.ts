/**
 * The transport over uWebSockets.js.
 *
 * - A message's memory belongs to the library again when the callback returns.
 * - The library calls `drain` from inside its own write loop; sending from there can hang the
 *   session for good. So it only schedules.
 * - A message beyond `maxPayloadLength` ends the connection without a close frame. The library is
 *   therefore told twice the bound that holds, and what lies between is refused here with 1009.
 * - `publish` is never used: it skips receivers that are slow.
 * - What `end` is given and the kernel does not take is copied, and the response counts as done:
 *   the next request of the connection is served, however little its client reads. So answers go
 *   out by `tryEnd`, which leaves the response open until all is taken; a request behind an open
 *   response ends the connection.
 * - A port that the library picks by itself cannot be listened on again for a minute after the
 *   broker has ended: only with a given port does it set SO_REUSEADDR. So it is always given one.
 */

import type {
	TemplatedApp,
	HttpRequest as UwsRequest,
	HttpResponse as UwsResponse,
	us_listen_socket,
	WebSocket,
} from "uWebSockets.js";
import { type AddressInfo, createServer } from "node:net";

import {
	FORBIDDEN_ORIGIN,
	type HttpHead,
	type HttpResponse,
	responseHeaders,
	statusLine,
	UNSUPPORTED_SUBPROTOCOL,
} from "../http/http.ts";
import type { HttpService } from "../http/service.ts";
import { LIMITS } from "../limits.ts";
import { CLOSE_CODES, type CloseEntry } from "../protocol/close-codes.ts";
import { ANONYMOUS } from "../security/principal.ts";
import { chooseSubprotocol } from "./subprotocol.ts";
import {
	type Connection,
	type ConnectionHandler,
	type Listener,
	type ListenerOptions,
	type SendResult,
	TAKEN,
} from "./transport.ts";

type Uws = typeof import("uWebSockets.js");

/** What the binary has and the typings lack. Each returns 1 sent, 0 buffered, 2 dropped. */
interface FragmentedSends {
	sendFirstFragment(message: Uint8Array, isBinary: boolean, compress: boolean): number;
	sendLastFragment(message: Uint8Array, compress: boolean): number;
}

/** Likewise: without the option, two brokers on one port would share its connections silently. */
interface ExclusiveListen {
	listen(
		host: string,
		port: number,
		options: number,
		listening: (token: us_listen_socket | false) => void,
	): void;
}

/** LIBUS_LISTEN_EXCLUSIVE_PORT: the package exports it, its typings do not. */
const LISTEN_EXCLUSIVELY = 1;

/** How often another free port is looked for when somebody was quicker. */
const FREE_PORT_ATTEMPTS_MAX = 10;

interface SocketData {
	readonly remoteAddress: string;
	cookieToken: string | undefined;
	connection?: UwsConnection;
	handler?: ConnectionHandler;
}

type Socket = WebSocket<SocketData> & FragmentedSends;

/**
 * The library counts in whole seconds: it pings at idleTimeout - 16 s and gives up at idleTimeout.
 */
const IDLE_TIMEOUT_SECONDS = (LIMITS.idleMsMax + LIMITS.pingAnswerMsMax) / 1_000;

/**
 * Beyond this the library closes: far above what a session lets wait, so that it never drops a
 * message.
 */
const BACKPRESSURE_BYTES_MAX = LIMITS.sendBufferBytesMax + 4 * LIMITS.frameBytesMax;

class UwsConnection implements Connection {
	readonly remoteAddress: string;
	readonly principal = ANONYMOUS;
	readonly #socket: Socket;
	#isClosed = false;
	#isCorked = false;
	/** Told when the client has read all that was sent before. */
	#onTaken: (() => void) | undefined;

	constructor(socket: Socket, remoteAddress: string) {
		this.#socket = socket;
		this.remoteAddress = remoteAddress;
	}

	takeCookieToken(): string | undefined {
		if (this.#isClosed) return undefined;
		const data = this.#socket.getUserData();
		const { cookieToken } = data;
		data.cookieToken = undefined;
		return cookieToken;
	}

	bufferedBytes(): number {
		return this.#isClosed ? 0 : this.#socket.getBufferedAmount();
	}

	send(header: Uint8Array, body?: Uint8Array, release?: () => void): SendResult {
		if (this.#isClosed) {
			release?.();
			return "buffered";
		}
		let status = 0;
		this.cork(() => {
			if (body === undefined) status = this.#socket.send(header, true, false);
			else {
				const first = this.#socket.sendFirstFragment(header, true, false);
				const last = this.#socket.sendLastFragment(body, false);
				status = first === 1 ? last : first;
			}
		});
		// The library has copied what the kernel did not take.
		release?.();
		return status === 1 && !this.#isClosed ? "sent" : "buffered";
	}

	taken(): Promise<void> {
		if (this.#isClosed) return Promise.resolve();
		return new Promise((resolve) => {
			this.#onTaken = resolve;
			this.#socket.ping(TAKEN);
		});
	}

	/** The client answers a ping. */
	ponged(bytes: number): void {
		if (bytes > 0) this.#onTaken?.();
	}

	cork(write: () => void): void {
		if (this.#isClosed || this.#isCorked) {
			write();
			return;
		}
		this.#isCorked = true;
		try {
			this.#socket.cork(write);
		} finally {
			this.#isCorked = false;
		}
	}

	/** Runs `work` inside a callback of the library, which has corked the socket. */
	corked(work: () => void): void {
		this.#isCorked = true;
		try {
			work();
		} finally {
			this.#isCorked = false;
		}
	}

	close(reason: CloseEntry, detail = ""): void {
		if (this.#isClosed) return;
		// The library would keep what waits for as long as the client takes a little of it now and
		// then, and nobody would know of it any more.
		if (this.#socket.getBufferedAmount() > LIMITS.sendBufferBytesMax) this.#socket.close();
		else this.#socket.end(reason.code, closeReason(detail));
	}

	terminate(): void {
		if (!this.#isClosed) this.#socket.close();
	}

	/** The library has let go of the socket: touching it again would throw. */
	markClosed(): void {
		this.#isClosed = true;
		this.#onTaken?.();
	}
}

/** Listens. Rejects when the address cannot be had. */
export async function listenWithUwebsockets(uws: Uws, options: ListenerOptions): Promise<Listener> {
	const app = uws.App() as TemplatedApp & ExclusiveListen;
	countConnections(app, options);
	let openCount = 0;
	let allClosed: (() => void) | undefined;
	app.ws<SocketData>("/", {
		compression: 0,
		maxPayloadLength: 2 * LIMITS.frameBytesMax,
		maxBackpressure: BACKPRESSURE_BYTES_MAX,
		closeOnBackpressureLimit: true,
		idleTimeout: IDLE_TIMEOUT_SECONDS,
		sendPingsAutomatically: true,
		upgrade: (response, request, context) => upgrade(options, response, request, context),
		open(socket) {
			openCount++;
			open(options, socket as Socket);
		},
		message: (socket, message, isBinary) => receive(socket.getUserData(), message, isBinary),
		pong: (socket, { byteLength }) => socket.getUserData().connection?.ponged(byteLength),
		drain(socket) {
			const { connection, handler } = socket.getUserData();
			setImmediate(() => {
				if (connection?.bufferedBytes() === 0) handler?.drained();
			});
		},
		close(socket, code) {
			openCount--;
			options.closed();
			const { connection, handler } = socket.getUserData();
			connection?.markClosed();
			handler?.closed(code);
			if (openCount === 0) allClosed?.();
		},
	});
	app.any("/*", (response, request) => void respond(options.service, response, request));
	const token = await listening(app, options);
	let isListening = true;
	const stopListening = (): void => {
		if (isListening) uws.us_listen_socket_close(token);
		isListening = false;
	};
	return {
		transport: "uws",
		isSecure: false,
		host: options.host,
		port: uws.us_socket_local_port(token),
		stopListening,
		async close() {
			stopListening();
			const closed = new Promise<void>((resolve) => {
				allClosed = resolve;
			});
			const wait = openCount > 0 ? closed : undefined;
			app.close();
			await wait;
		},
	};
}

/** The library tells of what comes, and of what goes that has not become a WebSocket. */
function countConnections(app: TemplatedApp, options: ListenerOptions): void {
	let isRefusing = false;
	const count = (response: UwsResponse, change: number): void => {
		if (change < 0) {
			if (!isRefusing) options.closed();
			return;
		}
		if (options.opened()) return;
		isRefusing = true;
		response.close();
		isRefusing = false;
	};
	app.filter(count);
}

async function listening(
	app: TemplatedApp & ExclusiveListen,
	{ host, port }: ListenerOptions,
): Promise<us_listen_socket> {
	if (port !== 0) {
		const token = await tryListening(app, host, port);
		if (token === null) throw new Error(`cannot listen on ${host}:${port}`);
		return token;
	}
	for (let attempt = 0; attempt < FREE_PORT_ATTEMPTS_MAX; attempt++) {
		const token = await tryListening(app, host, await freePort(host));
		if (token !== null) return token;
	}
	throw new Error(`cannot listen on any port of ${host}`);
}

/** Resolves to null when the port is taken. */
function tryListening(
	app: TemplatedApp & ExclusiveListen,
	host: string,
	port: number,
): Promise<us_listen_socket | null> {
	return new Promise((resolve) => {
		app.listen(host, port, LISTEN_EXCLUSIVELY, (token) => resolve(token || null));
	});
}

/** A port that nobody listens on. Somebody may before the caller does, so it tries again. */
async function freePort(host: string): Promise<number> {
	const server = createServer();
	await new Promise<void>((resolve, reject) => {
		server.once("error", reject);
		server.listen({ host, port: 0, exclusive: true }, resolve);
	});
	const { port } = server.address() as AddressInfo;
	await new Promise((resolve) => server.close(resolve));
	return port;
}

function upgrade(
	{ origins, tokenCookie, refuse }: ListenerOptions,
	response: UwsResponse,
	request: UwsRequest,
	context: Parameters<UwsResponse["upgrade"]>[4],
): void {
	const subprotocol = chooseSubprotocol(request.getHeader("sec-websocket-protocol"));
	const origin = request.getHeader("origin");
	if (!origins.allowsOrigin(origin, request.getHeader("host"))) {
		refuseUpgrade(response, FORBIDDEN_ORIGIN);
		return;
	}
	if (subprotocol === undefined) {
		refuseUpgrade(response, UNSUPPORTED_SUBPROTOCOL);
		return;
	}
	const refusal = refuse();
	if (refusal !== undefined) {
		refuseUpgrade(response, refusal);
		return;
	}
	const data: SocketData = {
		remoteAddress: addressOf(response),
		cookieToken: tokenCookie?.tokenOf(origin, request.getHeader("cookie")),
	};
	const key = request.getHeader("sec-websocket-key");
	// No extensions are passed on: permessage-deflate stays off.
	response.upgrade(data, key, subprotocol, "", context);
}

function refuseUpgrade(response: UwsResponse, refusal: HttpResponse): void {
	const abortion = new AbortController();
	response.onAborted(() => abortion.abort());
	void write(response, { ...refusal, isLast: true }, abortion.signal);
}

function open(options: ListenerOptions, socket: Socket): void {
	const data = socket.getUserData();
	const connection = new UwsConnection(socket, data.remoteAddress);
	data.connection = connection;
	connection.corked(() => {
		data.handler = options.accept(connection);
	});
}

function receive(data: SocketData, message: ArrayBuffer, isBinary: boolean): void {
	const { connection, handler } = data;
	if (connection === undefined || handler === undefined) return;
	connection.corked(() => {
		if (!isBinary) connection.close(CLOSE_CODES.UNSUPPORTED_DATA);
		else if (message.byteLength > LIMITS.frameBytesMax) connection.close(CLOSE_CODES.TOO_BIG);
		else handler.message(new Uint8Array(message));
	});
}

/** A close frame has room for 123 bytes; our details are ASCII. */
function closeReason(detail: string): string {
	return detail.slice(0, 123);
}

async function respond(
	service: HttpService,
	response: UwsResponse,
	request: UwsRequest,
): Promise<void> {
	const abortion = new AbortController();
	response.onAborted(() => abortion.abort());
	const head = copyOf(request, addressOf(response));
	const read = (take: (piece: Uint8Array, isLast: boolean) => void) => {
		response.onData((piece, isLast) => take(new Uint8Array(piece), isLast));
	};
	const { signal } = abortion;
	const answer = await service.answer(head, { read }, signal);
	await write(response, answer, signal, head.method !== "HEAD");
}

function addressOf(response: UwsResponse): string {
	return Buffer.from(response.getRemoteAddressAsText()).toString("latin1");
}

/** The library's request is gone after the callback. */
function copyOf(request: UwsRequest, remoteAddress: string): HttpHead {
	const headers = new Map<string, string>();
	request.forEach((name, value) => {
		headers.set(name, value);
	});
	return {
		method: request.getCaseSensitiveMethod(),
		path: request.getUrl(),
		query: request.getQuery() ?? "",
		remoteAddress,
		principal: ANONYMOUS,
		header: (name) => headers.get(name) ?? "",
	};
}

async function write(
	response: UwsResponse,
	answer: HttpResponse,
	aborted: AbortSignal,
	withBody = true,
): Promise<void> {
	// While the library reads requests it would go on to the next one, and forget that this was to be
	// the last.
	if (answer.isLast) await new Promise((resolve) => setImmediate(resolve));
	if (aborted.aborted) {
		answer.onDone?.();
		return;
	}
	const { body: content = "" } = answer;
	const body = typeof content === "string" ? Buffer.from(content) : content;
	if (withBody && !answer.isLast) {
		writeAsTaken(response, answer, body, aborted);
		return;
	}
	response.cork(() => {
		writeHead(response, answer);
		if (withBody) response.end(body, true);
		// The library leaves such a response open and would abort at the connection's next request.
		else response.endWithoutBody(body.length, true);
	});
	answer.onDone?.();
}

function writeHead(response: UwsResponse, answer: HttpResponse): void {
	response.writeStatus(statusLine(answer.status));
	for (const [name, value] of Object.entries(responseHeaders(answer))) {
		response.writeHeader(name, value);
	}
}

/**
 * Writes what the kernel takes, and the rest as it takes more. The library gives a client up that
 * takes nothing for ten seconds.
 */
function writeAsTaken(
	response: UwsResponse,
	answer: HttpResponse,
	body: Uint8Array,
	aborted: AbortSignal,
): void {
	const done = () => answer.onDone?.();
	const start = response.getWriteOffset();
	const writeFrom = (offset: number): boolean => {
		const [isTaken, isWhole] = response.tryEnd(body.subarray(offset - start), body.length);
		if (isWhole) {
			aborted.removeEventListener("abort", done);
			done();
		}
		return isTaken;
	};
	aborted.addEventListener("abort", done);
	response.cork(() => {
		writeHead(response, answer);
		if (!writeFrom(start)) response.onWritable(writeFrom);
	});
}
