/**
 * The seam between a WebSocket library and the sessions: connections that carry binary messages,
 * and plain HTTP requests on the same port. Two implementations behave alike: uwebsockets.ts and
 * ws.ts.
 */

import type { HttpResponse, OriginPolicy } from "../http/http.ts";
import type { HttpService } from "../http/service.ts";
import type { CloseEntry } from "../protocol/close-codes.ts";
import type { Principal } from "../security/principal.ts";
import type { TlsFiles } from "../security/tls.ts";
import type { TokenCookie } from "./token-cookie.ts";

/** What a ping says that asks whether all before it was read; a library's own say nothing. */
export const TAKEN = "taken";

/** "buffered": the kernel did not take all of it. Send no deliveries until `drained`. */
export type SendResult = "sent" | "buffered";

/** One WebSocket connection. Every method does nothing once the connection is closed. */
export interface Connection {
	/** For people; an address without port, or "" where it is not known. */
	readonly remoteAddress: string;
	/** Whom its certificate names; anonymous without one. */
	readonly principal: Principal;
	/** The token of a cookie that counts. Once: the connection does not keep it. */
	takeCookieToken(): string | undefined;
	/** Memory in bytes for what was handed to `send` and the kernel has not taken yet. */
	bufferedBytes(): number;
	/**
	 * Sends `header` and `body` as one binary message. The memory of `header` may be used again at
	 * once; that of `body` is lent until `release` is called, which happens exactly once, whatever
	 * becomes of the connection.
	 */
	send(header: Uint8Array, body?: Uint8Array, release?: () => void): SendResult;
	/** Resolves when the client has read all that was sent until now, or is gone. Asked once. */
	taken(): Promise<void>;
	/** Gathers what `write` sends into as few system calls as possible. */
	cork(write: () => void): void;
	/**
	 * Sends a close frame behind everything that was sent; `closed` follows. Where more waits than
	 * may, a transport that cannot wait for a while only ends the connection at once.
	 */
	close(reason: CloseEntry, detail?: string): void;
	/** Ends the connection at once, without a close frame; `closed` follows. */
	terminate(): void;
}

/** What the owner of a connection is told. None of these may throw. */
export interface ConnectionHandler {
	/** A whole binary message. Its memory is valid only during the call. */
	message(frame: Uint8Array): void;
	/**
	 * Nothing is buffered any more; called on a turn of its own after `send` had answered "buffered".
	 */
	drained(): void;
	/** The connection is gone; the last call. */
	closed(code: number): void;
}

export interface ListenerOptions {
	readonly host: string;
	/** 0 picks a free one. */
	readonly port: number;
	/** Null: nothing is encrypted. */
	readonly tls: TlsFiles | null;
	readonly origins: OriginPolicy;
	/** Null: nobody is known by a cookie. */
	readonly tokenCookie: TokenCookie | null;
	/** Answers what is asked over HTTP. */
	readonly service: HttpService;
	/** Asked for every connection, before its first request or TLS handshake: false has it ended. */
	readonly opened: () => boolean;
	/** One that `opened` said yes to has ended. */
	readonly closed: () => void;
	/** Asked before an upgrade that nothing else speaks against; an answer refuses it. */
	readonly refuse: () => HttpResponse | undefined;
	/** Called for every connection whose upgrade was accepted. */
	readonly accept: (connection: Connection) => ConnectionHandler;
	/** A failure that no connection or request can be told about. */
	readonly onError: (error: unknown, doing: string) => void;
}

export interface Listener {
	readonly transport: "uws" | "ws";
	/** Whether it speaks TLS. */
	readonly isSecure: boolean;
	readonly host: string;
	readonly port: number;
	/** Takes no more connections; those that are open go on. */
	stopListening(): void;
	/** Ends everything that is still open and resolves when no socket is left. */
	close(): Promise<void>;
}
