/**
 * The transport over node:http and `ws`, for every Node and libc. It behaves like uwebsockets.ts
 * and takes part in the same tests.
 *
 * - Unlike there, memory given to a socket is in use until the write's callback: what is not the
 *   transport's own is copied.
 * - A socket's `drain` event only comes above the stream's high-water mark; callbacks of writes
 *   always do.
 */
import {
	createServer,
	type IncomingMessage,
	type RequestListener,
	type Server,
	type ServerResponse,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";

import {
	FORBIDDEN_ORIGIN,
	type HttpResponse,
	NOT_FOUND,
	responseHeaders,
	statusLine,
	UNSUPPORTED_SUBPROTOCOL,
} from "../http/http.ts";
import type { HttpService } from "../http/service.ts";
import { InOrder } from "../in-order.ts";
import { LIMITS } from "../limits.ts";
import { CLOSE_CODES, type CloseEntry } from "../protocol/close-codes.ts";
import { SUBPROTOCOL } from "../protocol/operations.ts";
import { ANONYMOUS, type Principal } from "../security/principal.ts";
import type { TlsFiles } from "../security/tls.ts";
import { CopyPool } from "./copy-pool.ts";
import type { SecureServer } from "./secure-server.ts";
import { chooseSubprotocol } from "./subprotocol.ts";
import {
	type Connection,
	type ConnectionHandler,
	type Listener,
	type ListenerOptions,
	type SendResult,
	TAKEN,
} from "./transport.ts";

/** How often idle sockets are looked for, in milliseconds. */
const IDLE_SWEEP_MS = 2_000;

/** How often half-sent messages are added up, in milliseconds. */
const HELD_SWEEP_MS = 500;

/** A head may take as long as the body behind it: about as with uWebSockets.js. */
const HTTP_TIMEOUTS = {
	headersTimeout: LIMITS.httpBodyMsMax,
	requestTimeout: 2 * LIMITS.httpBodyMsMax,
	connectionsCheckingInterval: IDLE_SWEEP_MS,
};

/** How long a closing handshake may take, in milliseconds. */
const CLOSE_MS_MAX = 2_000;

/** What a message that waits costs beside its bytes: the objects of its writes, about so large. */
const WAITING_OVERHEAD_BYTES = 512;

const SEND_OPTIONS = { binary: true, compress: false, fin: true } as const;
const FIRST_FRAGMENT_OPTIONS = { binary: true, compress: false, fin: false } as const;

const NO_BYTES = new Uint8Array();

/** Deliveries of both sizes with their frames; some for what is on its way at any moment. */
const copies = new CopyPool([
	{ bufferBytes: LIMITS.deliveryBytesMax + 65_536, idleMax: 16 },
	{ bufferBytes: LIMITS.deliveryBytesSmall + 8_192, idleMax: 64 },
]);

export class WsConnection implements Connection {
	readonly remoteAddress: string;
	readonly principal: Principal;
	readonly #socket: WebSocket;
	readonly #stream: Socket;
	#handler: ConnectionHandler | undefined;
	#awaitsDrain = false;
	#waitingCount = 0;
	#isCorked = false;
	#lastHeardMs = performance.now();
	#bytesHeard = 0;
	/** Of what was read, up to where the last whole message was. */
	#bytesTaken: number;
	#isPinged = false;
	#cookieToken: string | undefined;

	constructor(
		socket: WebSocket,
		stream: Socket,
		principal: Principal,
		cookieToken: string | undefined,
	) {
		this.#socket = socket;
		this.#stream = stream;
		this.#bytesTaken = stream.bytesRead;
		this.remoteAddress = stream.remoteAddress ?? "";
		this.principal = principal;
		this.#cookieToken = cookieToken;
	}

	/** Connects library and handler. */
	attach(handler: ConnectionHandler): void {
		this.#handler = handler;
		this.#socket.on("message", (data, isBinary) => {
			this.#bytesTaken = this.#stream.bytesRead;
			if (this.#socket.readyState !== WebSocket.OPEN) return;
			if (isBinary) handler.message(data as Buffer);
			else this.close(CLOSE_CODES.UNSUPPORTED_DATA);
		});
		this.#socket.on("close", (code) => handler.closed(code));
		// What a peer does wrong ends its connection: the library has answered it, and `close` follows.
		this.#socket.on("error", () => (this.#awaitsDrain = false));
	}

	takeCookieToken(): string | undefined {
		const token = this.#cookieToken;
		this.#cookieToken = undefined;
		return token;
	}

	bufferedBytes(): number {
		const bytes = this.#socket.readyState === WebSocket.OPEN ? this.#socket.bufferedAmount : 0;
		return bytes === 0 ? 0 : bytes + this.#waitingCount * WAITING_OVERHEAD_BYTES;
	}

	send(header: Uint8Array, body?: Uint8Array, release?: () => void): SendResult {
		if (this.#socket.readyState !== WebSocket.OPEN) {
			release?.();
			return "buffered";
		}
		const copy = copies.copy(header);
		this.#waitingCount++;
		const written = () => {
			this.#waitingCount--;
			copies.release(copy);
			release?.();
			this.#written();
		};
		this.cork(() => {
			if (body === undefined) this.#socket.send(copy, SEND_OPTIONS, written);
			else {
				this.#socket.send(copy, FIRST_FRAGMENT_OPTIONS);
				this.#socket.send(body, SEND_OPTIONS, written);
			}
		});
		if (this.#isCorked) return "sent";
		return this.#checkBuffer();
	}

	taken(): Promise<void> {
		if (this.#socket.readyState !== WebSocket.OPEN) return Promise.resolve();
		return new Promise((resolve) => {
			this.#socket.once("close", () => resolve());
			this.#socket.on("pong", ({ length }) => {
				if (length > 0) resolve();
			});
			this.#socket.ping(TAKEN);
		});
	}

	cork(write: () => void): void {
		if (this.#isCorked || this.#socket.readyState !== WebSocket.OPEN) {
			write();
			return;
		}
		this.#isCorked = true;
		this.#stream.cork();
		try {
			write();
		} finally {
			this.#isCorked = false;
			this.#stream.uncork();
		}
		this.#checkBuffer();
	}

	close(reason: CloseEntry, detail = ""): void {
		if (this.#socket.readyState !== WebSocket.OPEN) return;
		this.#socket.close(reason.code, detail.slice(0, 123));
		setTimeout(() => this.#socket.terminate(), CLOSE_MS_MAX).unref();
	}

	terminate(): void {
		this.#socket.terminate();
	}

	/** Bytes of a message that has not come whole: about, as what came with its end is not told. */
	get heldBytes(): number {
		return this.#stream.bytesRead - this.#bytesTaken;
	}

	/** Pings a silent peer, and ends it when the ping is not answered. */
	sweep(nowMs: number): void {
		// Any byte counts: a large message over a slow line takes longer than silence may.
		const { bytesRead } = this.#stream;
		if (bytesRead !== this.#bytesHeard) {
			this.#bytesHeard = bytesRead;
			this.#lastHeardMs = nowMs;
			this.#isPinged = false;
		}
		const silentMs = nowMs - this.#lastHeardMs;
		if (silentMs > LIMITS.idleMsMax + LIMITS.pingAnswerMsMax) this.terminate();
		else if (silentMs > LIMITS.idleMsMax && !this.#isPinged) {
			this.#isPinged = true;
			if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping();
		}
	}

	#checkBuffer(): SendResult {
		if (this.bufferedBytes() === 0) return "sent";
		this.#awaitsDrain = true;
		return "buffered";
	}

	#written(): void {
		if (!this.#awaitsDrain || this.bufferedBytes() > 0) return;
		this.#awaitsDrain = false;
		setImmediate(() => {
			if (this.#socket.readyState === WebSocket.OPEN) this.#handler?.drained();
		});
	}
}

/** Ends those with most of a half-sent message until all hold at most `bytesMax` together. */
export function endLargest(
	connections: ReadonlySet<Pick<WsConnection, "heldBytes" | "terminate">>,
	bytesMax: number,
): void {
	let sum = 0;
	for (const connection of connections) sum += connection.heldBytes;
	if (sum <= bytesMax) return;
	const held = [...connections].map((connection) => ({ connection, bytes: connection.heldBytes }));
	for (const { connection, bytes } of held.sort((one, other) => other.bytes - one.bytes)) {
		if (sum <= bytesMax) return;
		connection.terminate();
		sum -= bytes;
	}
}

/** Listens. Rejects when the address cannot be had. */
export async function listenWithWs(options: ListenerOptions): Promise<Listener> {
	const connections = new Set<WsConnection>();
	const webSockets = new WebSocketServer({
		noServer: true,
		clientTracking: false,
		perMessageDeflate: false,
		maxPayload: LIMITS.frameBytesMax,
		handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
	});
	const { service } = options;
	const pipelines = new Pipelines();
	const serve = (request: IncomingMessage, response: ServerResponse) => {
		const principal = secured?.principalOf(request.socket) ?? ANONYMOUS;
		void pipelines.take(request.socket, () => respond(service, request, response, principal));
	};
	const secured = options.tls === null ? undefined : await secure(options.tls, serve);
	const server = secured?.server ?? createServer(HTTP_TIMEOUTS, serve);
	server.on("connection", (socket: Socket) => {
		if (options.opened()) socket.on("close", options.closed);
		else socket.destroy();
	});
	server.on("upgrade", (request, stream, head) => {
		// Until the library has the stream, its errors (a peer that went away) would be uncaught.
		stream.on("error", () => stream.destroy());
		const refusal = refuseUpgrade(options, request);
		if (refusal !== undefined) {
			writeRefusal(stream, refusal);
			return;
		}
		webSockets.handleUpgrade(request, stream, head, (socket) => {
			const principal = secured?.principalOf(request.socket) ?? ANONYMOUS;
			const { origin = "", cookie = "" } = request.headers;
			const token = options.tokenCookie?.tokenOf(origin, cookie);
			const connection = new WsConnection(socket, request.socket, principal, token);
			connections.add(connection);
			socket.on("close", () => connections.delete(connection));
			connection.attach(options.accept(connection));
		});
	});
	await listening(server, options);
	server.on("error", (error) => options.onError(error, "listening"));
	const sweep = setInterval(() => {
		const nowMs = performance.now();
		for (const connection of connections) connection.sweep(nowMs);
	}, IDLE_SWEEP_MS);
	sweep.unref();
	const heldSweep = setInterval(
		() => endLargest(connections, LIMITS.webSocketHeldBytesMax),
		HELD_SWEEP_MS,
	);
	heldSweep.unref();
	const closed = new Promise<void>((resolve) => server.on("close", resolve));
	return {
		transport: "ws",
		isSecure: secured !== undefined,
		host: options.host,
		port: (server.address() as AddressInfo).port,
		stopListening: () => void server.close(),
		async close() {
			clearInterval(sweep);
			clearInterval(heldSweep);
			server.close();
			for (const connection of connections) connection.terminate();
			server.closeAllConnections();
			secured?.close();
			await closed;
		},
	};
}

/** Loaded only where it is used: a start is the quicker for it. */
async function secure(tls: TlsFiles, serve: RequestListener): Promise<SecureServer> {
	const { SecureServer } = await import("./secure-server.ts");
	return new SecureServer(tls, serve, HTTP_TIMEOUTS);
}

function listening(server: Server, { host, port }: ListenerOptions): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once("error", reject);
		server.listen({ host, port, exclusive: true }, () => {
			server.off("error", reject);
			resolve();
		});
	});
}

function refuseUpgrade(
	{ origins, refuse }: ListenerOptions,
	{ headers, url }: IncomingMessage,
): HttpResponse | undefined {
	if (pathAndQuery(url).path !== "/") return NOT_FOUND;
	if (!origins.allowsOrigin(headers.origin ?? "", headers.host ?? "")) return FORBIDDEN_ORIGIN;
	const offered = headers["sec-websocket-protocol"] ?? "";
	return chooseSubprotocol(offered) === undefined ? UNSUPPORTED_SUBPROTOCOL : refuse();
}

function writeRefusal(stream: Duplex, refusal: HttpResponse): void {
	const body = refusal.body ?? "";
	const headers = {
		...responseHeaders(refusal),
		connection: "close",
		"content-length": `${Buffer.byteLength(body)}`,
	};
	const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
	const head = [`HTTP/1.1 ${statusLine(refusal.status)}`, ...lines].join("\r\n");
	// The peer may keep its side open, and nothing else watches over this socket: it would be held
	// for ever, and hold up the end of the listener.
	stream.once("finish", () => stream.destroy());
	stream.end(Buffer.concat([Buffer.from(`${head}\r\n\r\n`), Buffer.from(body)]));
}

/**
 * Has the requests of a connection answered one after the other: else a client could have any
 * number of them at work and all their answers in memory, and read none.
 */
class Pipelines {
	readonly #queues = new WeakMap<Socket, { waiting: number; readonly order: InOrder }>();

	/** Runs `answer` when those before it are done; ends a connection on which too many wait. */
	async take(socket: Socket, answer: () => Promise<void>): Promise<void> {
		let queue = this.#queues.get(socket);
		if (queue === undefined) {
			queue = { waiting: 0, order: new InOrder() };
			this.#queues.set(socket, queue);
		}
		if (queue.waiting > LIMITS.httpPipelinedMax) {
			socket.destroy();
			return;
		}
		queue.waiting++;
		await queue.order.run(answer);
		queue.waiting--;
	}
}

/** Resolves when the client has taken the answer, or is gone. */
async function respond(
	service: HttpService,
	request: IncomingMessage,
	response: ServerResponse,
	principal: Principal,
): Promise<void> {
	const { method = "GET", headers, socket } = request;
	// It ended while this waited: nothing would ever tell that the response is done.
	if (socket.destroyed || socket.writableEnded) return;
	const { path, query } = pathAndQuery(request.url);
	const header = (name: string): string => {
		const value = headers[name];
		return Array.isArray(value) ? value.join(", ") : (value ?? "");
	};
	const remoteAddress = socket.remoteAddress ?? "";
	const head = { method, path, query, remoteAddress, principal, header };
	const abortion = new AbortController();
	const closed = new Promise<void>((resolve) => response.on("close", resolve));
	response.on("close", () => abortion.abort());
	const read = (take: (piece: Uint8Array, isLast: boolean) => void) => {
		request.on("data", (piece: Buffer) => take(piece, false));
		request.on("end", () => take(NO_BYTES, true));
	};
	write(response, await service.answer(head, { read }, abortion.signal));
	await closed;
}

/** node:http itself leaves the body out where the request is HEAD. */
function write(response: ServerResponse, answer: HttpResponse): void {
	if (response.destroyed) {
		answer.onDone?.();
		return;
	}
	response.on("close", () => answer.onDone?.());
	response.setTimeout(LIMITS.httpUnreadMsMax, () => response.destroy());
	const body = answer.body ?? "";
	response.writeHead(answer.status, {
		...responseHeaders(answer),
		"content-length": Buffer.byteLength(body),
		...(answer.isLast === true ? { connection: "close" } : {}),
	});
	response.end(body);
}

function pathAndQuery(url = "/"): { path: string; query: string } {
	const mark = url.indexOf("?");
	return mark < 0
		? { path: url, query: "" }
		: { path: url.slice(0, mark), query: url.slice(mark + 1) };
}
