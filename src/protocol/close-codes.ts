/**
 * Why a connection is closed. The table in `docs/websocket-protocol.md` is made from this one by
 * `npm run generate`.
 */
export interface CloseEntry {
	readonly code: number;
	/** Whether connecting again, unchanged, can succeed. */
	readonly reconnect: boolean;
	readonly meaning: string;
}

const entry = (code: number, reconnect: boolean, meaning: string): CloseEntry => ({
	code,
	reconnect,
	meaning,
});

// biome-ignore format: a table, one row a close code
export const CLOSE_CODES = {
	NORMAL: entry(1000, true, "the other side is done"),
	GOING_AWAY: entry(1001, true, "the broker stops, or the page is left"),
	UNSUPPORTED_DATA: entry(1003, false, "a text message: frames are binary"),
	TOO_BIG: entry(1009, false, "a message larger than frame_bytes_max"),
	RESTART: entry(1012, true, "the broker restarts; connect again after a moment"),
	MALFORMED: entry(4400, false, "no frame: operation or id cannot be read, or hello is not first"),
	NOT_AUTHENTICATED: entry(4401, false, "credentials are missing, wrong or expired"),
	FORBIDDEN: entry(4403, false, "the origin or the principal is not allowed here"),
	HELLO_LATE: entry(4408, true, "no hello within 5 s"),
	OVER_LIMIT: entry(4413, true, "far over a limit that hello announced, or answers are not read"),
	QUOTA: entry(4429, true, "over a quota for too long"),
} as const satisfies Record<string, CloseEntry>;

export type CloseName = keyof typeof CLOSE_CODES;
